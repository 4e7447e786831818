"""How long policies are needed that are in force no more: as long as calls go on under them."""

from __future__ import annotations

import anyio


class PolicyUse:
    """How many calls are decided under one decision point; for one event loop."""

    def __init__(self) -> None:
        self._calls = 0
        self._nobody = anyio.Event()

    def begin(self) -> None:
        """Counts a call."""
        self._calls += 1

    def end(self) -> None:
        """Counts it no more."""
        self._calls -= 1
        if not self._calls:
            self._nobody.set()

    async def ended(self) -> None:
        """Waits until no call is left; for what no call takes up any more."""
        while self._calls:
            self._nobody = anyio.Event()
            await self._nobody.wait()
