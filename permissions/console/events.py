"""Tells open pages that something changed, and nothing of what: they fetch what they may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from permissions.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response

    from permissions.console.parts import ConsoleParts
    from permissions.console.visit import Visit

PAUSE_SECONDS = 0.4
AT_ONCE = 128
"""Open pages, of all browsers together."""
_LOOKS_PER_CHECK = 25
"""How often something is looked for before it is asked again whether the session is over."""


class Changes:
    """How far requests and record have got, looked up once for all open pages."""

    def __init__(self, parts: ConsoleParts, stopping: anyio.Event | None = None) -> None:
        self._parts = parts
        self._stopping = stopping
        self._at = 0.0
        self._now: tuple[int, int] = (0, 0)
        self._looking = anyio.Lock()
        self.open = 0

    @property
    def is_stopping(self) -> bool:
        """Whether streams have to end."""
        return self._stopping is not None and self._stopping.is_set()

    async def now(self) -> tuple[int, int]:
        """Changes when a request or the record did.

        Raises:
            BrokerError: they cannot be read.
        """
        async with self._looking:
            if anyio.current_time() - self._at >= PAUSE_SECONDS / 2:
                record = self._parts.record
                size = 0 if record is None else await anyio.to_thread.run_sync(record.size)
                token = await self._parts.broker.parts.approvals.changed(None)
                self._now, self._at = (token, size), anyio.current_time()
            return self._now


async def events(visit: Visit, changes: Changes) -> Response:
    """A stream of server-sent events: `changed`, and `over` when the session is."""
    if changes.open >= AT_ONCE:
        raise HTTPException(503, "Too many pages are open. Load this one anew later.")
    return EventSourceResponse(_told(visit, changes), ping=20)


async def _told(visit: Visit, changes: Changes) -> AsyncIterator[ServerSentEvent]:
    changes.open += 1
    try:
        known = await changes.now()
        looks = 0
        # Something may have changed between the page and this stream of it.
        yield ServerSentEvent(event="changed", data="")
        while not changes.is_stopping:
            await anyio.sleep(PAUSE_SECONDS)
            looks += 1
            if looks % _LOOKS_PER_CHECK == 0 and not await visit.parts.sign_ins.holds(
                visit.who
            ):
                yield ServerSentEvent(event="over", data="")
                return
            if (now := await changes.now()) != known:
                known = now
                yield ServerSentEvent(event="changed", data="")
    except BrokerError:
        return  # the browser connects anew
    finally:
        changes.open -= 1
