"""OpenAI Agents SDK: tools whose calls go through the broker. Needs `wardline[openai-agents]`."""

from __future__ import annotations

from permissions.integrations.openai_agents import guard_tools, resume

__all__ = ["guard_tools", "resume"]
