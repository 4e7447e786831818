"""The launch of bubblewrap: processes and descriptors, nothing of the job."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.backends.bubblewrap import reaper
from sandbox.backends.bubblewrap.arguments import (
    MASKED,
    Descriptors,
    command,
    shown_paths,
)
from sandbox.backends.bubblewrap.locate import Programs, system_links
from sandbox.backends.launcher import Launched, memory, started
from sandbox.errors import SandboxProviderError
from sandbox.isolation import bpf
from sandbox.profile import USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox.backends.bubblewrap.workspace import View
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
    user: int | None,
    view: View | None,
) -> Iterator[Started]:
    """Starts the launcher; on leaving it has been waited for and every descriptor closed.

    Args:
        programs: of this machine.
        profile: sizes and mounts.
        roots: real host paths of the code.
        lease: of its owner.
        user: of the host, to be dropped to when this is uid 0.
        view: of the job's workspace, if it has one.

    Raises:
        SandboxProviderError: it cannot be started.
    """
    with ExitStack() as stack:
        with ExitStack() as launch:
            try:
                reader, writer = os.pipe()
                stack.callback(os.close, reader)
                launch.callback(os.close, writer)
                descriptors = Descriptors(
                    seccomp=memory(launch, bpf.program(programs.machine)),
                    info=writer,
                    passwd=memory(launch, PASSWD),
                    group=memory(launch, GROUP),
                )
                shown = shown_paths(programs, roots, profile)
                needed = (programs.bwrap, *(entry.source for entry in shown))
                argv = command(
                    programs,
                    profile,
                    shown=shown,
                    system=system_links(),
                    masked=_masked(),
                    descriptors=descriptors,
                    user=user,
                    is_closed=user is not None and not all(map(_is_open, needed)),
                    view=view,
                )
            except OSError as err:
                raise SandboxProviderError(f"bubblewrap cannot be started: {err}") from err
            launcher = stack.enter_context(
                started(
                    argv,
                    name="bubblewrap",
                    # Only the launcher has it: the runner inside starts with `--clearenv`.
                    environment={reaper.LEASE_VARIABLE: str(lease)},
                    descriptors=astuple(descriptors),
                )
            )
        yield Started(
            launcher.process, launcher.ended, launcher.stream, launcher.complaints, reader
        )


def _is_open(source: Path) -> bool:
    """True when a user who owns nothing gets as far as `source`."""
    return all(parent.stat().st_mode & 0o001 for parent in source.resolve().parents)


@cache
def _masked() -> list[str]:
    return [path for path in MASKED if Path(path).exists()]
