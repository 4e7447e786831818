"""A program of this machine that starts a sandbox and ends after it: its process and its end.

For the backends without a daemon. The launcher is a child of ours with a process group of its
own; what it starts speaks through the socket that is its standard input and output.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    import socket
    import subprocess
    from contextlib import ExitStack

LEAVE_SECONDS = 5.0
"""For a runner that has reported to end, and for a killed one to be gone."""
DIAGNOSTICS_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Launched:
    """A started sandbox: its launcher, its channel, and where it complains."""

    process: subprocess.Popen[bytes]
    stream: socket.socket
    complaints: int

    def diagnostics(self) -> str:
        """What the launcher or the runner wrote about itself."""
        return (
            os.pread(self.complaints, DIAGNOSTICS_BYTES, 0).decode("utf-8", "replace").strip()
        )


async def end(launched: Launched, runner: int | None, *, leaves: bool) -> None:
    """Waits for the launcher, which ends after everything inside; kills what does not leave.

    Args:
        launched: the sandbox.
        runner: descriptor of its process 1, whose death is everybody's inside.
        leaves: True when the runner has reported and is on its way out.
    """
    launcher = os.pidfd_open(launched.process.pid)
    try:
        if leaves and await _is_over(launcher):
            return
        if runner is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(runner, signal.SIGKILL)
            if await _is_over(launcher):
                return
        # The whole group: a launcher killed alone in its first milliseconds leaves a child.
        _kill_group(launched.process)
        await _is_over(launcher)
    finally:
        os.close(launcher)


async def _is_over(launcher: int) -> bool:
    with anyio.move_on_after(LEAVE_SECONDS):
        await anyio.wait_readable(launcher)
        return True
    return False


def collect(process: subprocess.Popen[bytes]) -> None:
    """Takes a launcher's exit status, killing it first if it still runs."""
    if process.poll() is None:
        _kill_group(process)
        process.wait(LEAVE_SECONDS)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def memory(stack: ExitStack, content: bytes) -> int:
    """A descriptor of a file in memory, closed with `stack`."""
    number = os.memfd_create("wardline")
    stack.callback(os.close, number)
    os.write(number, content)
    os.lseek(number, 0, os.SEEK_SET)
    return number
