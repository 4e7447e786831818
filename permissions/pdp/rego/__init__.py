"""The Rego language: syntax trees, what names in them mean, and the builtins policies may call.

Pure, and imports nothing of its neighbours. Not in here: evaluating (`regorus`) and judging (`lint`).
"""
