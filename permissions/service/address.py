"""Where a daemon is reached, and who is at the other end of a connection.

The kernel says which user a peer on a unix socket is (`SO_PEERCRED`, unix(7)): as it was when
it connected. Nothing a peer says of itself counts for that.
"""

from __future__ import annotations

import os
import pwd
import socket
import stat
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
from anyio.abc import SocketAttribute

from permissions.errors import ConfigError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import SocketStream

SOCKET = "broker.sock"
"""Its name in the state folder."""
_SCHEME = "unix:"
_CREDENTIALS = struct.Struct("3i")
_LONGEST = 80
"""Bytes of a socket's name: with `short` before it, less than the 107 of `sun_path` (unix(7))."""


class Peer(NamedTuple):
    """A process at the other end, as the kernel knows it."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        """As the record has it."""
        return f"{account_name(self.uid)} (uid {self.uid}, pid {self.pid})"


def account_name(uid: int) -> str:
    """The name of a user account; `?` for one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "?"


def socket_path(address: str) -> Path:
    """The path of `unix:/run/wardline/broker.sock`.

    Raises:
        ConfigError: it is another kind of address, not absolute, or its name is too long.
    """
    path = Path(address.removeprefix(_SCHEME))
    if not address.startswith(_SCHEME) or not path.is_absolute():
        raise ConfigError(
            f"{address[:120]!r} is no address of a broker; it reads unix:/run/wardline/broker.sock"
        )
    if len(os.fsencode(path.name)) > _LONGEST:
        raise ConfigError(f"{path}: the name of a socket has at most {_LONGEST} bytes")
    return path


def peer_of(stream: SocketStream) -> Peer:
    """Who connected."""
    raw: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - of anyio, no database
    return peer_of_socket(raw)


def peer_of_socket(raw: socket.socket) -> Peer:
    """Who is at the other end of a unix socket."""
    said = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(said))


@contextmanager
def short(folder: Path) -> Iterator[str]:
    """Another name of a folder, short enough for a socket's address.

    Raises:
        ConfigError: it cannot be opened.
    """
    try:
        number = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as err:
        raise ConfigError(f"the folder {folder}: {err.strerror}") from err
    try:
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


async def make_way(path: Path) -> None:
    """Sees to it that a socket may be bound there: its folder is safe, and nobody listens.

    Raises:
        ConfigError: others may put a socket of their own in its place, something else stands
            there, or a broker listens there already.
    """
    _require_safe(path.parent)
    if not path.is_socket():  # noqa: ASYNC240 - one name, as below
        if path.exists() or path.is_symlink():  # noqa: ASYNC240
            raise ConfigError(f"{path} is there and no socket; name another path")
        return
    try:
        with short(path.parent) as folder:
            other = await anyio.connect_unix(f"{folder}/{path.name}")
    except OSError:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - its process is gone
        return
    await other.aclose()
    raise ConfigError(f"a broker listens on {path} already")


async def connected(path: Path) -> SocketStream:
    """A connection to the daemon that listens there, and not to somebody in its place.

    Raises:
        ConfigError: others may write its folder, or who listens there is neither root, nor this
            user, nor the owner of the folder.
        ServiceError: nobody listens there.
    """
    owner = _require_safe(path.parent)
    try:
        with short(path.parent) as folder:
            stream = await anyio.connect_unix(f"{folder}/{path.name}")
    except OSError as err:
        raise ServiceError(
            f"no broker listens on {path} ({err.strerror}); start it: wardline serve"
        ) from err
    uid = peer_of(stream).uid
    if uid not in (0, os.geteuid(), owner):
        await stream.aclose()
        raise ConfigError(f"who listens on {path} is user {uid}, to whom its folder is not")
    return stream


def _require_safe(folder: Path) -> int:
    """The owner of a folder that nobody else can write."""
    try:
        found = folder.stat()
    except OSError as err:
        raise ConfigError(f"{folder}: {err.strerror}; create the folder first") from err
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{folder} can be written by others, who could listen there in the broker's name;"
            f" chmod go-w {folder}"
        )
    return found.st_uid
