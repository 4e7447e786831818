"""Entries by descriptor and name: no path is ever resolved twice, and no link followed.

A folder is reached from the workspace's own descriptor, one name at a time, each opened
without following links. What openat2(2) would do with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS
is done by the walk, which also works where that call is filtered.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.workspace.model import Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.workspace.model import Type

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Opening a pipe this way does not wait for a writer; what was opened is looked at after."""

NAME_BYTES = 255
PATH_BYTES = 1024
TARGET_BYTES = 1024
CHUNK = 1 << 20
PERMISSIONS = 0o777


class NotPlainError(Exception):
    """A file is not what its entry said: another kind, size or content, or closed to us."""


def is_plain(path: str) -> bool:
    """Whether a path can be shown and recorded as it is: UTF-8, printable, of bounded length."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return False
    return size <= PATH_BYTES and path.isprintable()


def quoted(path: str) -> str:
    """A path of any bytes as bounded plain text."""
    return path if is_plain(path) else ascii(path[:200])


def names_of(folder: int) -> list[str]:
    """Every name in a folder."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def status(folder: int, name: str) -> os.stat_result | None:
    """What lies there, links not followed; None when nothing does."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def link_target(folder: int, name: str) -> str | None:
    """Where a link points; None when it is none, or not there."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def type_of(found: os.stat_result) -> Type | None:
    """None for what is neither file, directory nor link."""
    if stat.S_ISREG(found.st_mode):
        return "file"
    if stat.S_ISDIR(found.st_mode):
        return "directory"
    return "link" if stat.S_ISLNK(found.st_mode) else None


def base_of(found: os.stat_result) -> Base | None:
    """None for what is neither file, directory nor link."""
    kind = type_of(found)
    if kind is None:
        return None
    return Base(
        type=kind,
        mode=found.st_mode & PERMISSIONS,
        size=0 if kind == "directory" else found.st_size,
        device=found.st_dev,
        inode=found.st_ino,
        modified_ns=found.st_mtime_ns,
        changed_ns=found.st_ctime_ns,
    )


@contextmanager
def parent(root: int, path: str) -> Iterator[tuple[int, str]]:
    """The folder an entry is in, by descriptor, and the entry's name.

    Raises:
        OSError: a folder on the way is missing, or is a link or file.
    """
    *folders, name = path.split("/")
    holder = os.dup(root)
    try:
        for each in folders:
            deeper = os.open(each, FOLDER, dir_fd=holder)
            os.close(holder)
            holder = deeper
        yield holder, name
    finally:
        os.close(holder)


@contextmanager
def opened(folder: int, name: str, size: int) -> Iterator[int]:
    """A regular file of exactly this size, for reading.

    Raises:
        NotPlainError: it is something else by now, or cannot be opened.
    """
    try:
        source = os.open(name, FILE, dir_fd=folder)
    except OSError as err:
        raise NotPlainError(f"it cannot be opened: {err.strerror}") from err
    try:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            raise NotPlainError("it changed while it was looked at")
        yield source
    finally:
        os.close(source)


def pieces(source: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes.

    Raises:
        NotPlainError: it ended before, or goes on.
    """
    left = size
    while left:
        data = os.read(source, min(CHUNK, left))
        if not data:
            raise NotPlainError("it became shorter while it was read")
        left -= len(data)
        yield data
    if os.read(source, 1):
        raise NotPlainError("it became longer while it was read")


def digest_of(folder: int, name: str, size: int) -> str:
    """`sha256:<hex>` of a regular file.

    Raises:
        NotPlainError: as `opened` and `pieces`.
    """
    total = hashlib.sha256()
    with opened(folder, name, size) as source:
        for data in pieces(source, size):
            total.update(data)
    return f"sha256:{total.hexdigest()}"
