"""Messages of the protocol as lines of bytes, from and to a server nobody should trust.

The library's own transport reads a line of any length into memory; here one that is longer than
`MAX_MESSAGE` ends the connection.

Source: Model Context Protocol, "Transports", stdio.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable

MAX_MESSAGE = 16 * 1024 * 1024

Messages: TypeAlias = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception],
    MemoryObjectSendStream[SessionMessage],
]
"""What the protocol's client wants of a transport: what is heard, and where it speaks."""


@asynccontextmanager
async def messages(
    heard: AsyncIterable[bytes], say: Callable[[bytes], Awaitable[None]]
) -> AsyncIterator[Messages]:
    """The streams of one connection, until the block ends.

    Args:
        heard: what the server writes, in pieces of any size.
        say: writes to it.
    """
    found, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, said = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_receive, heard, found)
            tasks.start_soon(_send, said, say, found)
            async with read, write:
                yield read, write
            tasks.cancel_scope.cancel()
    finally:
        for stream in (found, read, write, said):
            stream.close()


async def _receive(
    heard: AsyncIterable[bytes], found: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    begun: list[bytes] = []
    size = 0
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with found:
            async for chunk in heard:
                first, *more = chunk.split(b"\n")
                begun.append(first)
                size += len(first)
                for each in more:
                    await found.send(_message(b"".join(begun)))
                    begun, size = [each], len(each)
                if size > MAX_MESSAGE:
                    return  # whoever waits is told that the connection ended


async def _send(
    said: MemoryObjectReceiveStream[SessionMessage],
    say: Callable[[bytes], Awaitable[None]],
    found: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    try:
        async for each in said:
            line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            await say(line.encode() + b"\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        found.close()


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as err:
        return err
