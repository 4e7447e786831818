"""Accepts connections from inside a sandbox and sees each to its end. Runs in the proxy process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import anyio

from sandbox.egress.conversation import Conversation, Means

if TYPE_CHECKING:
    from anyio.abc import ByteStream, SocketListener, TaskGroup

    from sandbox.egress.instruction import Instruction
    from sandbox.network.decision import EgressRequest, EndReason

TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n"
    b"Connection: close\r\n\r\negress refused: egress.connections\n"
)
FAREWELL_SECONDS = 0.5


class Parent(Protocol):
    """The process that decides and keeps the record."""

    async def ask(self, number: int, request: EgressRequest) -> Instruction:
        """Its instruction for the request of connection `number`."""
        ...

    async def ended(self, number: int, conversation: Conversation, end: EndReason) -> None:
        """Takes note of an end."""
        ...


class Server:
    """A proxy over one listener.

    Args:
        means: what conversations share.
        parent: decides and records.
        connections: in its whole life; further ones are turned away unrecorded.
        concurrent: open at once; further ones wait in the kernel's queue.
        connection_seconds: of one connection.
    """

    def __init__(
        self,
        means: Means,
        parent: Parent,
        *,
        connections: int,
        concurrent: int,
        connection_seconds: float,
    ) -> None:
        self._means = means
        self._parent = parent
        self._connections = connections
        self._slots = anyio.Semaphore(concurrent)
        self._connection_seconds = connection_seconds
        self._accepting = anyio.CancelScope()
        self._open: dict[int, anyio.CancelScope] = {}
        self._why: dict[int, EndReason] = {}

    async def serve(self, listener: SocketListener) -> None:
        """Accepts until `leave`, then waits until the end of each connection is reported."""
        async with anyio.create_task_group() as group:
            with self._accepting:
                await self._accept(listener, group)

    async def _accept(self, listener: SocketListener, group: TaskGroup) -> None:
        number = 0
        while True:
            await self._slots.acquire()
            try:
                stream = await listener.accept()
            except OSError:  # the client was gone, or no descriptor is free
                self._slots.release()
                await anyio.sleep(FAREWELL_SECONDS)
                continue
            number += 1
            self._start(group, number, stream)

    def _start(self, group: TaskGroup, number: int, stream: ByteStream) -> None:
        if number > self._connections:
            group.start_soon(self._turn_away, stream)
        else:
            group.start_soon(self._see_to_its_end, number, stream)

    def close(self, number: int, why: EndReason = "policy") -> None:
        """Closes a connection if it is still open."""
        scope = self._open.get(number)
        if scope is not None:
            self._why.setdefault(number, why)
            scope.cancel()

    def leave(self) -> None:
        """Accepts no more and closes what is open, because the sandbox is gone."""
        self._accepting.cancel()
        for number in tuple(self._open):
            self.close(number, "client")

    async def _turn_away(self, stream: ByteStream) -> None:
        try:
            with anyio.move_on_after(FAREWELL_SECONDS):
                await stream.send(TOO_MANY)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self._slots.release()
            await anyio.aclose_forcefully(stream)

    async def _see_to_its_end(self, number: int, stream: ByteStream) -> None:
        async def ask(request: EgressRequest) -> Instruction:
            return await self._parent.ask(number, request)

        conversation = Conversation(stream, self._means, ask)
        scope = self._open[number] = anyio.CancelScope()
        end: EndReason = "deadline"
        try:
            with scope, anyio.move_on_after(self._connection_seconds):
                end = await self._run(conversation)
        finally:
            del self._open[number]
            self._slots.release()
            await anyio.aclose_forcefully(stream)
        if scope.cancelled_caught:
            end = self._why.pop(number, "policy")
        await self._parent.ended(number, conversation, end)

    async def _run(self, conversation: Conversation) -> EndReason:
        try:
            return await conversation.run()
        except Exception as err:  # noqa: BLE001 - one connection's fault must not end the others
            os.write(2, f"egress: {type(err).__name__}\n".encode())
            return "fault"
