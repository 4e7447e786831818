"""An MCP server as a process of ours: its messages are lines on stdin and stdout.

The library's own transport reads a line of any length into memory; here one that is longer than
`MAX_MESSAGE` ends the connection. What the server writes to stderr goes to ours.

Source: Model Context Protocol, "Transports", stdio.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from permissions.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from anyio.abc import Process
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

MAX_MESSAGE = 16 * 1024 * 1024
GRACE_SECONDS = 2.0


@asynccontextmanager
async def server_process(
    command: Sequence[str], *, environment: Sequence[str] = (), folder: Path | None = None
) -> AsyncIterator[
    tuple[
        MemoryObjectReceiveStream[SessionMessage | Exception],
        MemoryObjectSendStream[SessionMessage],
    ]
]:
    """Starts a server and gives the streams that the protocol's client wants.

    Args:
        command: argv.
        environment: names of variables it gets, beside PATH, HOME and the like.
        folder: where it runs.

    Raises:
        GatewayError: it cannot be started.
    """
    passed = {name: os.environ[name] for name in environment if name in os.environ}
    try:
        process = await anyio.open_process(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            cwd=folder,
            env={**get_default_environment(), **passed},
            start_new_session=True,  # so that what it starts ends with it
        )
    except OSError as err:
        raise GatewayError(f"{command[0]}: cannot be started ({err.strerror})") from err
    heard, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, said = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_receive, process, heard)
            tasks.start_soon(_send, process, said, heard)
            async with read, write:
                yield read, write
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
            for stream in (heard, read, write, said):
                stream.close()


async def _receive(
    process: Process, heard: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    if (stdout := process.stdout) is None:
        return
    begun: list[bytes] = []
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with heard:
            async for chunk in stdout:
                first, *more = chunk.split(b"\n")
                begun.append(first)
                for each in more:
                    await heard.send(_message(b"".join(begun)))
                    begun = [each]
                if sum(map(len, begun)) > MAX_MESSAGE:
                    return  # whoever waits is told that the connection ended


async def _send(
    process: Process,
    said: MemoryObjectReceiveStream[SessionMessage],
    heard: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    if (stdin := process.stdin) is None:
        return
    try:
        async for each in said:
            line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            await stdin.send(line.encode() + b"\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        heard.close()


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as err:
        return err


async def _end(process: Process) -> None:
    """Closes its stdin, waits a little, and ends whatever of its group is left."""
    if process.stdin is not None:
        with suppress(OSError, anyio.BrokenResourceError):
            await process.stdin.aclose()
    with anyio.move_on_after(GRACE_SECONDS):
        await process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()
