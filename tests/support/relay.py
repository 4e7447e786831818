"""A socket in front of a real service, which can be cut as if it died, or held as if it hung.

With plain sockets: anyio's stream over a unix socket, cancelled in the very moment in which data
arrives, makes its event loop report an error.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import anyio
from anyio import TASK_STATUS_IGNORED

if TYPE_CHECKING:
    from pathlib import Path

    from anyio.abc import TaskGroup, TaskStatus


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
        if isinstance(self.near, int):
            listener = socket.create_server(("127.0.0.1", self.near))
            self.near = listener.getsockname()[1]
        else:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.near))
            listener.listen()
        await self._group.start(self._serve, listener)

    def cut(self) -> None:
        """Nobody listens any more, and every open connection ends."""
        self._scope.cancel()
        if not isinstance(self.near, int):
            self.near.unlink()

    def hold(self) -> None:
        """Connections stay, and nothing comes through until the end."""
        self._held = anyio.Event()

    async def _serve(
        self, listener: socket.socket, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        with listener, anyio.CancelScope() as self._scope:
            listener.settimeout(0)
            task_status.started()
            async with anyio.create_task_group() as connections:
                while True:
                    await anyio.wait_readable(listener)
                    connections.start_soon(self._connect, listener.accept()[0])

    async def _connect(self, near: socket.socket) -> None:
        is_tcp = isinstance(self._far, int)
        with near, socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX) as far:
            far.connect(("127.0.0.1", self._far) if is_tcp else str(self._far))
            for each in (near, far):
                each.settimeout(0)
            async with anyio.create_task_group() as group:
                group.start_soon(self._copy, near, far)
                group.start_soon(self._copy, far, near)

    async def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while True:
                await anyio.wait_readable(source)
                data = memoryview(source.recv(65536))
                if not data:
                    break
                if self._held is not None:
                    await self._held.wait()
                while data:
                    await anyio.wait_writable(target)
                    data = data[target.send(data) :]
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # one end is gone
