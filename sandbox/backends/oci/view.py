"""The mounts a runtime is started among: a root file system with its mount points, prepared.

A runtime makes the folders it mounts onto, in the root file system, where they would stay. So
the prepared one is shown through a read-only overlay that adds them. That is done in a mount
namespace which only a descriptor of ours keeps: when we are gone, by whatever end, so is it.
It has the host's mounts as they were when it was made, so it is made anew when they change.

On a machine with both versions of control groups the second is not seen in there: crun starts
nothing where it finds controllers in each, and no limit of ours is in the second then.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxUnavailableError
from sandbox.workspace import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

VIEW = Path("/run/wardline/oci/root")
"""Where a view has its root file system. On the host it stays an empty folder."""

SECOND_HIERARCHY = "/sys/fs/cgroup/unified"
MOST_VIEWS = 16

Point = tuple[str, bool]
"""A path to mount onto, relative to the root, and whether it is a folder."""


class Views:
    """The views in use, by root file system and mount points. Closed as one."""

    def __init__(self) -> None:
        # By the folder itself: another one may come to lie at its path.
        self._open: dict[tuple[int, int, frozenset[Point]], int] = {}
        self._mounts = os.open("/proc/self/mounts", os.O_RDONLY | os.O_CLOEXEC)
        self._changed = select.poll()
        self._changed.register(self._mounts, select.POLLPRI)

    def get(self, files: Path, points: Iterable[Point]) -> int:
        """A mount namespace with such a root at `VIEW`, by descriptor, good until the next call.

        Args:
            files: the root file system, held by the caller.
            points: to add to it.

        Raises:
            SandboxUnavailableError: the kernel does not let us mount.
        """
        found, wanted = files.stat(), frozenset(points)
        key = (found.st_dev, found.st_ino, wanted)
        if self._changed.poll(0) or (len(self._open) >= MOST_VIEWS and key not in self._open):
            self._give_up()  # what was started in them has mounts of its own
        if key not in self._open:
            self._open[key] = _made(files, wanted)
        return self._open[key]

    def _give_up(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        """Gives up all of them. Once only."""
        self._give_up()
        os.close(self._mounts)


def _made(files: Path, points: frozenset[Point]) -> int:
    """A descriptor of a new mount namespace."""
    made: list[int] = []
    failed: list[OSError] = []

    def make() -> None:
        try:
            made.append(_prepared(files, sorted(points)))
        except OSError as err:
            failed.append(err)

    # A thread of its own: its mounts are not the process's, and end with it.
    thread = threading.Thread(target=make, name="wardline-view")
    thread.start()
    thread.join()
    if failed:
        raise SandboxUnavailableError(
            f"a root file system cannot be prepared: {failed[0].strerror}",
            "it needs overlayfs, and uid 0 with CAP_SYS_ADMIN",
        ) from failed[0]
    return made[0]


def _prepared(files: Path, points: Iterable[Point]) -> int:
    kernel.unshare_mounts()
    if any(_controllers()):
        kernel.unmount(SECOND_HIERARCHY)
    VIEW.mkdir(parents=True, exist_ok=True)
    kernel.mount("tmpfs", str(VIEW), "size=1m,mode=0755")
    added, merged = VIEW / "points", VIEW / "merged"
    for path in (added, merged):
        path.mkdir()
    for name, is_folder in points:
        path = added / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_folder:
            path.mkdir(exist_ok=True)
        else:
            path.touch()
    with ExitStack() as stack:
        numbers = []
        for path in (added, files):
            # By descriptor, because the options can be read inside.
            numbers.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            stack.callback(os.close, numbers[-1])
        below = ":".join(f"/proc/self/fd/{number}" for number in numbers)
        kernel.mount_read_only("overlay", str(merged), f"lowerdir={below}")
    return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _controllers() -> list[str]:
    try:
        return Path(SECOND_HIERARCHY, "cgroup.controllers").read_text("ascii").split()
    except OSError:
        return []
