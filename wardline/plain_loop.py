"""Loops without a framework: the tool calls of a model's API, taken through the broker."""

from __future__ import annotations

from permissions.integrations.plain_loop import adispatch, dispatch, tools_schema

__all__ = ["adispatch", "dispatch", "tools_schema"]
