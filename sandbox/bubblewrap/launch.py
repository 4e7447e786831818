"""The launch of bubblewrap: processes and descriptors, nothing of the job."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import bpf
from sandbox.bubblewrap import reaper
from sandbox.bubblewrap.arguments import MASKED, Descriptors, command, shown_paths
from sandbox.bubblewrap.locate import Programs, system_links
from sandbox.errors import SandboxProviderError
from sandbox.launch import Launched, collect, memory
from sandbox.profile import USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox.bubblewrap.workspace import View
    from sandbox.lease import Lease
    from sandbox.profile import SandboxProfile

PASSWD = f"nobody:x:{USER}:{USER}:nobody:/box:/usr/sbin/nologin\n".encode()
GROUP = f"nogroup:x:{USER}:\n".encode()


@dataclass(frozen=True, slots=True)
class Started(Launched):
    """A started bubblewrap, and where it says which process it started."""

    info: int


@contextmanager
def launched(
    programs: Programs,
    profile: SandboxProfile,
    roots: Sequence[Path],
    *,
    lease: Lease,
    view: View | None,
) -> Iterator[Started]:
    """Starts the launcher; on leaving it has been waited for and every descriptor closed."""
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        complaints = memory(stack, b"")
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        with theirs, ExitStack() as launch:
            launch.callback(os.close, writer)
            descriptors = Descriptors(
                seccomp=memory(launch, bpf.program(programs.machine)),
                info=writer,
                passwd=memory(launch, PASSWD),
                group=memory(launch, GROUP),
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
        stack.callback(partial(collect, process))
        yield Started(process, ours, complaints, reader)


def _is_open(source: Path) -> bool:
    """True when uid 65534 gets as far as `source`, by what everybody may."""
    facts = [parent.stat() for parent in source.resolve().parents]
    return all(
        fact.st_mode & 0o001 and USER not in (fact.st_uid, fact.st_gid) for fact in facts
    )


@cache
def _masked() -> list[str]:
    return [path for path in MASKED if Path(path).exists()]
