"""The Rego language: syntax trees, what names in them mean, and the builtins policies may call.

Also the value that says what is wrong with a policy (`finding`). Pure, and imports nothing of its
neighbours. Not in here: evaluating (`regorus`) and judging (`lint`).
"""
