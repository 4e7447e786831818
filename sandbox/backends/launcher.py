"""A program of this machine that starts a sandbox and ends after it: its process and its end.

For the backends without a daemon. The launcher is a child of ours with a process group of its
own; what it starts speaks through the socket that is its standard input and output.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio

from sandbox.errors import SandboxProviderError
from sandbox.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = get_logger("launch")

LEAVE_SECONDS = 5.0
"""For a runner that has reported to end, and for a killed one to be gone."""
DIAGNOSTICS_BYTES = 2048
DRAIN_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Launched:
    """A started sandbox.

    Attributes:
        process: its launcher.
        ended: descriptor that can be read once that has ended. Opened at the start, because at
            the end there may be none left to open.
        stream: its channel.
        complaints: descriptor of what launcher and runner wrote about themselves.
    """

    process: subprocess.Popen[bytes]
    ended: int
    stream: socket.socket
    complaints: int

    def diagnostics(self) -> str:
        """The end of what the launcher or the runner wrote about itself, where the cause stands."""
        start = max(os.fstat(self.complaints).st_size - DIAGNOSTICS_BYTES, 0)
        said = os.pread(self.complaints, DIAGNOSTICS_BYTES, start)
        return said.decode("utf-8", "replace").strip()


@contextmanager
def started(
    argv: Sequence[str],
    *,
    name: str,
    environment: Mapping[str, str],
    descriptors: Sequence[int],
) -> Iterator[Launched]:
    """Starts a launcher; on leaving it has been waited for and every descriptor closed.

    Args:
        argv: its command.
        name: for an error.
        environment: its own, and all of it.
        descriptors: it inherits, besides its channel.

    Raises:
        SandboxProviderError: it cannot be started.
    """
    with ExitStack() as stack:
        try:
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            with theirs:
                complaints = memory(stack, b"")
                # In this thread: `--die-with-parent` means the thread that forked.
                process = subprocess.Popen(
                    argv,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=complaints,
                    env=environment,
                    process_group=0,
                    cwd="/",
                    pass_fds=descriptors,
                )
            stack.callback(partial(collect, process))
            ended = os.pidfd_open(process.pid)
            stack.callback(os.close, ended)
        except OSError as err:
            raise SandboxProviderError(f"{name} cannot be started: {err}") from err
        yield Launched(process, ended, ours, complaints)


async def end(launched: Launched, runner: int | None, *, leaves: bool) -> None:
    """Waits for the launcher, which ends after everything inside; kills what does not leave.

    Args:
        launched: the sandbox.
        runner: descriptor of its process 1, whose death is everybody's inside.
        leaves: True when the runner has reported and is about to end.
    """
    if leaves and await _is_over(launched.ended):
        return
    if runner is not None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(runner, signal.SIGKILL)
        if await _is_over(launched.ended):
            return
    # The whole group: a launcher killed alone in its first milliseconds leaves a child.
    _kill_group(launched.process)
    await _is_over(launched.ended)
    await _until_left(launched.stream)


async def _is_over(launcher: int) -> bool:
    with anyio.move_on_after(LEAVE_SECONDS):
        await anyio.wait_readable(launcher)
        return True
    return False


async def _until_left(stream: socket.socket) -> None:
    """Waits until nobody has the other end: a killed launcher's child dies after it.

    That is no child of ours to wait for, but it has the launcher's standard input to its end.
    """
    with suppress(OSError):
        stream.setblocking(False)  # noqa: FBT003 - the socket module's signature
        stream.shutdown(socket.SHUT_WR)  # a runner that reads on leaves
    with anyio.move_on_after(LEAVE_SECONDS):
        while True:
            try:
                if not stream.recv(DRAIN_BYTES):
                    return
            except BlockingIOError:
                await anyio.wait_readable(stream)
            except OSError:
                return  # reset: it was closed with something unread


def collect(process: subprocess.Popen[bytes]) -> None:
    """Takes a launcher's exit status, killing it first if it still runs."""
    if process.poll() is None:
        _kill_group(process)
        try:
            process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("sandbox_launcher_not_collected", pid=process.pid)


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
