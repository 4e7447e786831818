"""The permission broker: everything between an agent's call and the tool, but the sandbox.

Users import `wardline`; this package holds what it re-exports.
"""
