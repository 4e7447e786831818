"""How far a call is, from the server that runs it to the client that asked.

Numbers only: what the server says beside them is a text of somebody else that no policy has
looked at, and a result comes with its labels, after its redaction.
"""

from __future__ import annotations

from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from mcp.server.session import ServerSession
    from mcp.shared.dispatcher import ProgressFnT

PAUSE_SECONDS = 0.1
"""Between two notices; those in between are left out, as a server may flood."""

PROGRESS: ContextVar[ProgressFnT | None] = ContextVar("gateway_progress", default=None)
"""Who is told how far the call of this task is."""


def progress_of(session: ServerSession) -> ProgressFnT:
    """Tells the client of one request."""
    last = float("-inf")

    async def told(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - see above
        nonlocal last
        now = anyio.current_time()
        if now - last >= PAUSE_SECONDS and isfinite(progress) and isfinite(total or 0.0):
            last = now
            await session.report_progress(progress, total)

    return told
