"""Adapters to agent frameworks. Each imports its framework only when itself imported."""
