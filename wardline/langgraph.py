"""LangGraph: a tool node whose calls go through the broker. Needs `wardline[langgraph]`."""

from __future__ import annotations

from permissions.integrations.langgraph import (
    CallGuard,
    HeldCall,
    apending,
    aresume,
    fan_out,
    guard_node,
    langchain_tools,
    pending,
    resume,
)

__all__ = [
    "CallGuard",
    "HeldCall",
    "apending",
    "aresume",
    "fan_out",
    "guard_node",
    "langchain_tools",
    "pending",
    "resume",
]
