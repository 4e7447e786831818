"""Overlays over real overlayfs mounts, and folders as values to compare."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxUnavailableError
from sandbox.lease import Lease
from sandbox.workspace.host_mounts import mounted
from sandbox.workspace.journal import COMMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.workspace import WorkspaceOverlay

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only uid 0 mounts an overlay on the host; run the tests as root"
)

Tree = dict[str, tuple[str, int, bytes]]


def tree(folder: Path) -> Tree:
    """Every entry below: kind, permission bits, and content or target."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = ("link", 0o777, os.fsencode(path.readlink()))
        elif stat.S_ISDIR(mode):
            found[name] = ("directory", mode & 0o777, b"")
        else:
            found[name] = ("file", mode & 0o777, path.read_bytes())
    return found


def fill(folder: Path, files: dict[str, str]) -> Path:
    """A folder with these files in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def empty(folder: Path) -> None:
    """Takes everything out of a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def over(
    overlay: WorkspaceOverlay, *, size: int = 8 << 20, files: int = 20_000
) -> Iterator[Path]:
    """The overlay's merged view, while it is mounted. A visible skip where it cannot be."""
    lease = Lease.of_this_process(wall_seconds=60)
    try:
        with mounted(overlay, size=size, files=files, lease=lease) as mount:
            yield mount.merged
    except SandboxUnavailableError as err:
        pytest.skip(str(err))


def has_leftovers(workspace: Path) -> bool:
    """Whether a commit left its folder behind."""
    return bool(commit_folders(workspace))


def commit_folders(workspace: Path) -> list[Path]:
    """The folders of commits that have not ended."""
    return sorted(workspace.glob(f"{COMMIT}*"))
