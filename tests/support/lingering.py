"""Tools of which one does not end by itself; a module of its own for a daemon and its clients."""

from __future__ import annotations

import anyio

from wardline import tool


@tool(effect="read", impact="low")
async def look() -> str:
    """Looks."""
    return "seen"


@tool(effect="read", impact="low")
async def linger() -> str:
    """Waits for what never comes."""
    await anyio.sleep_forever()
    return "never"


TOOLS = [look, linger]
