"""The launch of bubblewrap and its end: processes and descriptors, nothing of the job."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sandbox import bpf
from sandbox.bubblewrap import reaper
from sandbox.bubblewrap.arguments import MASKED, Descriptors, command, shown_paths
from sandbox.bubblewrap.locate import Programs, system_links
from sandbox.errors import SandboxProviderError
from sandbox.profile import USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox.bubblewrap.workspace import View
    from sandbox.lease import Lease
    from sandbox.profile import SandboxProfile

LEAVE_SECONDS = 5.0
"""For a runner that has reported to end, and for a killed one to be gone."""
DIAGNOSTICS_BYTES = 2048

PASSWD = f"nobody:x:{USER}:{USER}:nobody:/box:/usr/sbin/nologin\n".encode()
GROUP = f"nogroup:x:{USER}:\n".encode()


@dataclass(frozen=True, slots=True)
class Launched:
    """A started sandbox: its launcher, its channel, and where it complains."""

    process: subprocess.Popen[bytes]
    stream: socket.socket
    info: int
    complaints: int

    def diagnostics(self) -> str:
        """What bubblewrap or the runner wrote about itself."""
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


@contextmanager
def launched(
    programs: Programs,
    profile: SandboxProfile,
    roots: Sequence[Path],
    *,
    lease: Lease,
    view: View | None,
) -> Iterator[Launched]:
    """Starts the launcher; on leaving it has been waited for and every descriptor closed."""
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        complaints = _memory(stack, b"")
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        with theirs, ExitStack() as launch:
            launch.callback(os.close, writer)
            descriptors = Descriptors(
                seccomp=_memory(launch, bpf.program(programs.machine)),
                info=writer,
                passwd=_memory(launch, PASSWD),
                group=_memory(launch, GROUP),
            )
            shown = shown_paths(programs, roots, profile)
            needed = (programs.bwrap, *(entry.source for entry in shown))
            drop_root = os.geteuid() == 0
            try:
                argv = command(
                    programs,
                    profile,
                    shown=shown,
                    system=system_links(),
                    masked=_masked(),
                    descriptors=descriptors,
                    drop_root=drop_root,
                    is_closed=drop_root and not all(map(_is_open, needed)),
                    view=view,
                )
                # In this thread: `--die-with-parent` means the thread that forked.
                process = subprocess.Popen(
                    argv,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=complaints,
                    # Only the launcher has it: the runner inside starts with `--clearenv`.
                    env={reaper.LEASE_VARIABLE: str(lease)},
                    process_group=0,
                    cwd="/",
                    pass_fds=(
                        descriptors.seccomp,
                        descriptors.info,
                        descriptors.passwd,
                        descriptors.group,
                    ),
                )
            except OSError as err:
                raise SandboxProviderError(f"bubblewrap cannot be started: {err}") from err
        stack.callback(partial(_reap, process))
        yield Launched(process, ours, reader, complaints)


def _is_open(source: Path) -> bool:
    """True when uid 65534 gets as far as `source`, by what everybody may."""
    facts = [parent.stat() for parent in source.resolve().parents]
    return all(
        fact.st_mode & 0o001 and USER not in (fact.st_uid, fact.st_gid) for fact in facts
    )


@cache
def _masked() -> list[str]:
    return [path for path in MASKED if Path(path).exists()]


def _reap(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        _kill_group(process)
        process.wait(LEAVE_SECONDS)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _memory(stack: ExitStack, content: bytes) -> int:
    number = os.memfd_create("wardline")
    stack.callback(os.close, number)
    os.write(number, content)
    os.lseek(number, 0, os.SEEK_SET)
    return number
