"""A file system of a few megabytes that a test may fill."""

from __future__ import annotations

import os
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
