"""A workspace overlay in bubblewrap's terms: what the launcher stages, what is mounted inside.

For uid 0 the overlay is mounted on the host (`sandbox.workspace.host_mounts`) and only shown. A
plain user cannot mount there, but owns what the launch makes: a bubblewrap of its own first
makes a user and mount namespace with a file system in memory of bounded size, and the sandbox
proper, started in there, mounts its overlay over the workspace with the upper directory on that.
The host reaches the upper directory through the launcher, and keeps it by descriptor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxProviderError
from sandbox.workspace import TARGET
from sandbox.workspace.mask import mask_of

if TYPE_CHECKING:
    from sandbox.profile import SandboxProfile

ATTRIBUTES = "user.overlay."

_HIDE = """
set -e
while [ "$1" != / ]; do
    case "$1" in
        folder) mkdir "$0/$2" ;;
        hide) mknod "$0/$2" c 0 0 ;;
        *) chmod "$1" "$0/$2" ;;
    esac
    shift 2
done
shift
exec "$@"
"""
"""Makes folders and whiteouts, then becomes the command behind the `/`."""


@dataclass(frozen=True, slots=True)
class View:
    """What of an overlay a launch has to know.

    Attributes:
        source: the overlay mounted by the host, or else the workspace to put one over.
        is_mounted: which of them.
        hidden: paths that must not be seen; already done when mounted.
    """

    source: Path
    is_mounted: bool
    hidden: tuple[str, ...]


def staged(view: View, profile: SandboxProfile, stage: str) -> list[str]:
    """Arguments of the launcher's first bubblewrap."""
    if view.is_mounted:
        return ["--bind", str(view.source), f"{stage}/workspace"]
    argv = ["--ro-bind", str(view.source), f"{stage}/workspace"]
    argv += ["--size", str(profile.work_bytes), "--tmpfs", f"{stage}/overlay"]
    for name in ("upper", "work", "mask"):
        argv += ["--dir", f"{stage}/overlay/{name}"]
    return argv


def hiding(view: View, stage: str) -> list[str]:
    """A command to put in front of the sandbox's own: hides paths of the workspace."""
    mask = mask_of(view.source, view.hidden)
    argv = ["/bin/sh", "-c", _HIDE, f"{stage}/overlay/mask"]
    for path, _, _ in mask.folders:
        argv += ["folder", path]
    for path in mask.whiteouts:
        argv += ["hide", path]
    for path, mode, _ in reversed(mask.folders):
        argv += [f"{mode:04o}", path]
    return [*argv, "/"]


def inside(view: View, stage: str) -> list[str]:
    """Arguments of the sandbox's own bubblewrap."""
    if view.is_mounted:
        return ["--bind", f"{stage}/workspace", TARGET]
    overlay = f"{stage}/overlay"
    below = ["--overlay-src", f"{stage}/workspace", "--overlay-src", f"{overlay}/mask"]
    return [*below, "--overlay", f"{overlay}/upper", f"{overlay}/work", TARGET]


def upper_of(runner: int, stage: str) -> int:
    """Opens the upper directory through the process that started the runner.

    Raises:
        SandboxProviderError: it cannot be reached.
    """
    try:
        stat = Path(f"/proc/{runner}/stat").read_text("ascii", errors="replace")
        launcher = int(stat.rpartition(")")[2].split()[1])
        return os.open(
            f"/proc/{launcher}/root{stage}/overlay/upper",
            os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC,
        )
    except (OSError, ValueError, IndexError) as err:
        raise SandboxProviderError("the overlay of the workspace cannot be reached") from err
