"""Bytes in both directions, counted, bounded, and never waiting for ever."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import anyio

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from sandbox.network.decision import EndReason

CHUNK = 65536


class Ended(Exception):  # noqa: N818 - an end, which need not be an error
    """The connection is over.

    Attributes:
        status: of the answer the job gets; 0 for none.
        reason: code for job and record, when there is an answer.
        detail: one fixed sentence, never a quoted value.
    """

    def __init__(
        self, end: EndReason, status: int = 0, reason: str = "", detail: str = ""
    ) -> None:
        self.end = end
        self.status = status
        self.reason = reason
        self.detail = detail
        super().__init__(end)


class Budget:
    """Bytes that all connections of a sandbox may still move together."""

    def __init__(self, total: int) -> None:
        self.left = total

    def take(self, size: int) -> None:
        """Takes `size` bytes.

        Raises:
            Ended: there are not so many left.
        """
        self.left -= size
        if self.left < 0:
            raise Ended("bytes")


class Line:
    """A stream whose every wait ends within `idle_seconds`."""

    def __init__(
        self, stream: ByteStream, idle_seconds: float, *, side: Literal["client", "upstream"]
    ) -> None:
        self.stream = stream
        self.idle_seconds = idle_seconds
        self.side = side

    async def receive(self) -> bytes:
        """The next bytes; empty at the end, also at a broken one.

        Raises:
            Ended: nothing came in time.
        """
        try:
            with anyio.fail_after(self.idle_seconds):
                return await self.stream.receive(CHUNK)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return b""
        except TimeoutError:
            raise Ended("idle") from None

    async def send(self, data: bytes) -> None:
        """Sends all of `data`.

        Raises:
            Ended: the other side is gone, or takes nothing.
        """
        try:
            with anyio.fail_after(self.idle_seconds):
                await self.stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise Ended(self.side) from None
        except TimeoutError:
            raise Ended("idle") from None

    async def send_eof(self) -> None:
        """Says that nothing more will be sent."""
        try:
            await self.stream.send_eof()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def aclose(self) -> None:
        """Closes without waiting for the other side."""
        await anyio.aclose_forcefully(self.stream)


class Relay:
    """Moves bytes between the job and a host, and counts them."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._moved = 0.0
        self.bytes_out = 0
        self.bytes_in = 0

    async def out(self, upstream: Line, data: bytes) -> None:
        """Towards the host.

        Raises:
            Ended: as `Line.send`, or the budget is spent.
        """
        self._budget.take(len(data))
        self.bytes_out += len(data)
        await upstream.send(data)

    def came(self, size: int) -> None:
        """Counts bytes that came from the host.

        Raises:
            Ended: the budget is spent.
        """
        self._budget.take(size)
        self.bytes_in += size

    async def both(self, client: Line, upstream: Line) -> None:
        """Until both sides have ended.

        Raises:
            Ended: a side broke, both were silent, or the budget is spent.
        """
        ends: list[Ended] = []
        self._moved = anyio.current_time()
        async with anyio.create_task_group() as group:

            async def pump(source: Line, target: Line, *, outwards: bool) -> None:
                try:
                    while data := await self._next(source):
                        if outwards:
                            await self.out(target, data)
                        else:
                            self.came(len(data))
                            await target.send(data)
                    await target.send_eof()
                except Ended as ended:
                    ends.append(ended)
                    group.cancel_scope.cancel()

            group.start_soon(partial(pump, client, upstream, outwards=True))
            group.start_soon(partial(pump, upstream, client, outwards=False))
        if ends:
            raise ends[0]

    async def _next(self, source: Line) -> bytes:
        """As `receive`, but silence counts only when the other direction is silent, too."""
        while True:
            try:
                data = await source.receive()
            except Ended:
                if anyio.current_time() - self._moved >= source.idle_seconds:
                    raise
                continue
            self._moved = anyio.current_time()
            return data
