"""An MCP server as a process of ours, spoken with on its stdin and stdout.

It may do what this user may do. What it writes to stderr goes to ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
from mcp.client.stdio import get_default_environment

from permissions.errors import GatewayError
from permissions.gateway.lines import messages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from anyio.abc import Process

    from permissions.gateway.lines import Messages

GRACE_SECONDS = 2.0


@asynccontextmanager
async def server_process(
    command: Sequence[str], *, environment: Sequence[str] = (), folder: Path | None = None
) -> AsyncIterator[Messages]:
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
    try:
        if process.stdin is None or process.stdout is None:
            raise GatewayError(f"{command[0]}: has no stdin and stdout")
        async with messages(process.stdout, process.stdin.send) as streams:
            yield streams
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


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
