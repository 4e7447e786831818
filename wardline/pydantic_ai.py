"""Pydantic AI: a toolset whose calls go through the broker. Needs `wardline[pydantic-ai]`."""

from __future__ import annotations

from permissions.integrations.pydantic_ai import GuardedToolset, go_on, guarded

__all__ = ["GuardedToolset", "go_on", "guarded"]
