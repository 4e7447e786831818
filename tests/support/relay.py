"""A socket in front of a real service, which can be cut as if it died, or held as if it hung."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute

if TYPE_CHECKING:
    from pathlib import Path

    from anyio.abc import ByteStream, Listener, TaskGroup


class Relay:
    """Hands bytes to and fro between those who connect and a service.

    Args:
        group: where it runs.
        near: path of the unix socket it listens on, or a TCP port of this machine; 0 is any that
            is free, the same again after a cut.
        far: the service's own, likewise.
    """

    def __init__(self, group: TaskGroup, near: Path | int, far: Path | int) -> None:
        self.near = near
        self._group = group
        self._far = far
        self._scope = anyio.CancelScope()
        self._held: anyio.Event | None = None

    async def open(self) -> None:
        """Listens; again after a cut."""
        listener: Listener[ByteStream]
        if isinstance(self.near, int):
            listener = await anyio.create_tcp_listener(
                local_host="127.0.0.1", local_port=self.near
            )
            self.near = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django
        else:
            listener = await anyio.create_unix_listener(self.near)
        self._group.start_soon(self._serve, listener)

    def cut(self) -> None:
        """Nobody listens any more, and every open connection ends."""
        self._scope.cancel()
        if not isinstance(self.near, int):
            self.near.unlink()

    def hold(self) -> None:
        """Connections stay, and nothing comes through until the end."""
        self._held = anyio.Event()

    async def _serve(self, listener: Listener[ByteStream]) -> None:
        self._scope = anyio.CancelScope()
        with self._scope:
            async with listener:
                await listener.serve(self._connect)

    async def _connect(self, near: ByteStream) -> None:
        far: ByteStream
        if isinstance(self._far, int):
            far = await anyio.connect_tcp("127.0.0.1", self._far)
        else:
            far = await anyio.connect_unix(self._far)
        async with near, far, anyio.create_task_group() as group:
            group.start_soon(self._copy, near, far)
            group.start_soon(self._copy, far, near)

    async def _copy(self, source: ByteStream, target: ByteStream) -> None:
        try:
            async for data in source:
                if self._held is not None:
                    await self._held.wait()
                await target.send(data)
            await target.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            return
