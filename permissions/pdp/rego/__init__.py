"""Rego as syntax trees: reading them, names and types in them, the builtins, and `test_*` rules.

Not in here: findings about a policy (`lint`), and the engine that evaluates it (`embedded`).
"""
