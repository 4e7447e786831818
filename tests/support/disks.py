"""A file system of a few megabytes that a test may fill."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def disk_of(megabytes: int, mount: Path) -> Iterator[Path]:
    """A tmpfs of that size, mounted while the context is open; a skip where none can be."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; a file limit stands in elsewhere")
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mount)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode()[:200]}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def image_of(megabytes: int, path: Path) -> Path:
    """An ext4 file system in a file; a skip where none can be made."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a file system in a file needs root and mkfs.ext4")
    path.write_bytes(b"")
    os.truncate(path, megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True)
    return path


@contextmanager
def mounted_image(image: Path, mount: Path) -> Iterator[Path]:
    """Mounted through a loop device while the context is open; a skip where there is none."""
    mount.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-o", "loop", str(image), str(mount)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no loop device can be mounted here: {done.stderr.decode()[:200]}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)
