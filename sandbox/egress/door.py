"""The folder with the proxy's socket that is shown inside one sandbox, and to nobody else.

Two levels: the outer one is closed to other users of the machine, the inner one, which is
mounted into the sandbox, is open to whatever user the job has there.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "wardline-egress-"
SOCKET = "proxy"
BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Door:
    """A listening socket and the folder that shows it."""

    folder: Path
    listener: socket.socket


@contextmanager
def door(*, wall_seconds: float) -> Iterator[Door]:
    """Makes a door for one run and removes it; also those of owners that are gone."""
    reap()
    lease = Lease.of_this_process(wall_seconds=wall_seconds)
    outer = Path(tempfile.gettempdir(), f"{PREFIX}{lease}-{secrets.token_hex(4)}")
    outer.mkdir(0o700)
    try:
        inner = outer / "door"
        inner.mkdir()
        inner.chmod(0o755)
        with _listening(inner) as listener:
            yield Door(inner, listener)
    finally:
        shutil.rmtree(outer, ignore_errors=True)


@contextmanager
def _listening(folder: Path) -> Iterator[socket.socket]:
    number = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            # Through the descriptor, because a socket's path has 107 bytes at most.
            listener.bind(f"/proc/self/fd/{number}/{SOCKET}")
            (folder / SOCKET).chmod(0o666)
            listener.listen(BACKLOG)
            yield listener
    finally:
        os.close(number)


def reap() -> None:
    """Removes the doors whose owner is gone."""
    for outer in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        lease = Lease.parse(outer.name.removeprefix(PREFIX).rpartition("-")[0])
        with suppress(OSError):
            mine = outer.lstat().st_uid == os.geteuid() and not outer.is_symlink()
            if mine and lease is not None and lease.is_abandoned():
                shutil.rmtree(outer, ignore_errors=True)
