"""An overlay mounted by uid 0, on the host, for a sandbox with a user of its own.

That user owns nothing in a workspace. So the workspace is first shown through an id map, in which
its owner appears as that user (mount_setattr(2), Linux 5.12), and the overlay lies over that; the
host's own files keep their owner. The upper directory is on a file system in memory of bounded
size. All of it lies in a folder only root can enter, named by its owner's lease, and goes when
the run ends or with the next reaping.

Files of any other owner can be read as their mode says, and not changed.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxProviderError, SandboxUnavailableError
from sandbox.lease import Lease
from sandbox.profile import USER
from sandbox.workspace import kernel
from sandbox.workspace.mask import mask_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.workspace.mask import Mask
    from sandbox.workspace.overlay import WorkspaceOverlay

FOLDER = Path("/run/wardline/overlays")
OWNER_SECONDS = 5.0
_UNSHARE = "/usr/bin/unshare"
_MOUNTS = ("merged", "lower", "memory")

ATTRIBUTES = "trusted.overlay."


@dataclass(frozen=True, slots=True)
class HostMount:
    """Where a mounted overlay can be reached, for as long as it is held."""

    merged: Path


@contextmanager
def mounted(
    overlay: WorkspaceOverlay,
    *,
    size: int,
    files: int,
    lease: Lease,
    user: int = USER,
    folder: Path = FOLDER,
) -> Iterator[HostMount]:
    """Mounts an overlay; afterwards only the upper directory's descriptor is left of it.

    Args:
        overlay: open, and not yet used.
        size: bytes that may be written.
        files: entries that may be made.
        lease: of the run.
        user: of the sandbox, on the host; its group has the same number.
        folder: where.

    Raises:
        SandboxUnavailableError: this machine or the workspace's file system cannot.
        ProfileError: the overlay was used before.
    """
    if os.geteuid() != 0:
        raise SandboxUnavailableError(
            "a workspace overlay for this backend is mounted by uid 0",
            "run the broker as root, or use bubblewrap, where a plain user can do it",
        )
    path = folder / f"{lease}_{secrets.token_hex(8)}"
    path.mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    try:
        try:
            upper = _mount(path, overlay, size=size, files=files, as_user=user)
        except OSError as err:
            raise SandboxUnavailableError(
                f"the workspace cannot be overlaid: {err.strerror}",
                "it needs Linux 5.12 with overlayfs, and a file system that maps owners (ext4,"
                " xfs, btrfs, tmpfs of Linux 6.3)",
            ) from err
        overlay.collect(upper, ATTRIBUTES)
        yield HostMount(path / "merged")
    finally:
        _remove(path)


def reap(folder: Path = FOLDER) -> int:
    """Unmounts overlays whose owner is gone; gives their number."""
    abandoned = []
    with suppress(OSError):
        abandoned = [path for path in folder.iterdir() if _is_abandoned(path)]
    for path in abandoned:
        _remove(path)
    return len(abandoned)


def _mount(
    root: Path, overlay: WorkspaceOverlay, *, size: int, files: int, as_user: int
) -> int:
    paths = {name: root / name for name in _MOUNTS}
    for path in paths.values():
        path.mkdir(mode=0o700)
    found = overlay.source.stat()
    owners = _owners(found.st_uid, found.st_gid, as_user)
    try:
        tree = kernel.clone_tree(str(overlay.source), owners=owners)
    finally:
        os.close(owners)
    try:
        kernel.attach(tree, str(paths["lower"]))
    finally:
        os.close(tree)
    kernel.mount("tmpfs", str(paths["memory"]), f"size={size},nr_inodes={files},mode=0700")
    upper, work, mask = (paths["memory"] / name for name in ("upper", "work", "mask"))
    for path in (upper, work, mask):
        path.mkdir(mode=0o755)
    os.chown(upper, as_user, as_user)
    upper.chmod(found.st_mode & 0o777)
    _hide(mask, mask_of(overlay.source, overlay.hidden), owner=found.st_uid, as_user=as_user)
    number = _open(upper)
    try:
        _overlay(str(paths["merged"]), number, work, (mask, paths["lower"]))
    except BaseException:
        os.close(number)
        raise
    return number


def _hide(folder: Path, mask: Mask, *, owner: int, as_user: int) -> None:
    for path, _, _ in mask.folders:
        (folder / path).mkdir()
    for path in mask.whiteouts:
        os.mknod(folder / path, 0o020000, 0)  # a whiteout: nothing lies below it
    for path, mode, uid in reversed(mask.folders):
        if uid == owner:
            os.chown(folder / path, as_user, as_user)
        (folder / path).chmod(mode)


def _overlay(merged: str, upper: int, work: Path, below: tuple[Path, ...]) -> None:
    # By descriptor, because the options can be read inside.
    numbers = [_open(path) for path in (work, *below)]
    by_number = [f"/proc/self/fd/{number}" for number in numbers]
    # Whole copies, so that the upper directory can be read without the lower one.
    features = "redirect_dir=off,metacopy=off,index=off,xino=off"
    try:
        kernel.mount(
            "overlay",
            merged,
            f"lowerdir={':'.join(by_number[1:])},upperdir=/proc/self/fd/{upper},"
            f"workdir={by_number[0]},{features}",
        )
    finally:
        for number in numbers:
            os.close(number)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _owners(user: int, group: int, as_user: int) -> int:
    """A user namespace that maps a workspace's owner to another user, by descriptor."""
    own = Path("/proc/self/ns/user").readlink()
    with subprocess.Popen(
        [_UNSHARE, "--user", "--", "/bin/cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    ) as holder:
        try:
            proc = Path(f"/proc/{holder.pid}")
            deadline = time.monotonic() + OWNER_SECONDS
            while (proc / "ns/user").readlink() == own:
                if time.monotonic() > deadline or holder.poll() is not None:
                    raise SandboxProviderError("no user namespace can be made for an overlay")
                time.sleep(0.0005)
            (proc / "uid_map").write_text(f"{user} {as_user} 1")
            (proc / "gid_map").write_text(f"{group} {as_user} 1")
            return os.open(proc / "ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            holder.kill()


def _is_abandoned(path: Path) -> bool:
    lease = Lease.parse(path.name.rpartition("_")[0])
    return lease is None or lease.is_abandoned()


def _remove(path: Path) -> None:
    for name in _MOUNTS:
        with suppress(OSError):
            kernel.unmount(str(path / name))
        with suppress(OSError):
            (path / name).rmdir()
    with suppress(OSError):
        path.rmdir()
