"""LangChain agents: a middleware for `create_agent`. Needs `wardline[langchain]`."""

from __future__ import annotations

from permissions.integrations.langchain import WardlineMiddleware
from permissions.integrations.langgraph import langchain_tools

__all__ = ["WardlineMiddleware", "langchain_tools"]
