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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxProviderError
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "wardline-egress-"
SOCKET = "proxy"
BACKLOG = 64


@dataclass(frozen=True, slots=True)
class SocketFolder:
    """A listening socket and the folder that shows it."""

    folder: Path
    listener: socket.socket


@contextmanager
def socket_folder(*, wall_seconds: float) -> Iterator[SocketFolder]:
    """Makes the folder for one run and removes it; also those of owners that are gone.

    Raises:
        SandboxProviderError: there is no room for one.
    """
    reap()
    lease = Lease.of_this_process(wall_seconds=wall_seconds)
    outer = Path(tempfile.gettempdir(), f"{PREFIX}{lease}-{secrets.token_hex(4)}")
    with ExitStack() as stack:
        stack.callback(partial(shutil.rmtree, outer, ignore_errors=True))
        try:
            outer.mkdir(0o700)
            inner = outer / "shown"
            inner.mkdir()
            inner.chmod(0o755)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            _listen(listener, inner)
        except OSError as err:
            raise SandboxProviderError(
                f"no socket can be made for the egress proxy: {err.strerror}"
            ) from err
        yield SocketFolder(inner, listener)


def _listen(listener: socket.socket, folder: Path) -> None:
    number = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        # Through the descriptor, because a socket's path has 107 bytes at most.
        listener.bind(f"/proc/self/fd/{number}/{SOCKET}")
        (folder / SOCKET).chmod(0o666)
        listener.listen(BACKLOG)
    finally:
        os.close(number)


def reap() -> None:
    """Removes the folders whose owner is gone."""
    for outer in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        lease = Lease.parse(outer.name.removeprefix(PREFIX).rpartition("-")[0])
        with suppress(OSError):
            mine = outer.lstat().st_uid == os.geteuid() and not outer.is_symlink()
            if mine and lease is not None and lease.is_abandoned():
                shutil.rmtree(outer, ignore_errors=True)
