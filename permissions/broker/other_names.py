"""The names under which files are also there because somebody mounted them twice.

A bind mount of a folder is known by its device and inode, one of a file or folder inside of it
is not: that has an inode of its own. So the mount table says where each file system, or a part
of it, is to be seen. It is read again when the kernel says that it changed.

Linux only; elsewhere there are no further names.
"""

from __future__ import annotations

import os
import re
import select
import weakref
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_TABLE = "/proc/self/mountinfo"
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A part of a file system (`root`) and the folder or file where it is to be seen."""

    device: str
    root: str
    point: str


class OtherNames:
    """Further names of files and folders, as the mount table of this process has them now.

    Args:
        paths: absolute, without links.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._names: dict[str, str] = {}
        self._changed: select.poll | None = None
        try:
            self._table = os.open(_TABLE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no Linux
            return
        weakref.finalize(self, os.close, self._table)
        self._changed = select.poll()
        self._changed.register(self._table, select.POLLPRI | select.POLLERR)
        self._read()

    def now(self) -> dict[str, str]:
        """Each further name, and the path it is another name of."""
        if self._changed is not None and self._changed.poll(0):
            self._read()
        return self._names

    def _read(self) -> None:
        os.lseek(self._table, 0, os.SEEK_SET)
        read = bytearray()
        while chunk := os.read(self._table, 1 << 16):
            read += chunk
        self._names = further_names(self._paths, mounts_of(os.fsdecode(bytes(read))))


def mounts_of(table: str) -> list[Mount]:
    """What `/proc/self/mountinfo` lists, see proc(5)."""
    rows = (line.split(" ") for line in table.split("\n"))
    return [Mount(row[2], _plain(row[3]), _plain(row[4])) for row in rows if len(row) > 4]


def further_names(paths: Iterable[str], mounts: list[Mount]) -> dict[str, str]:
    """The names that paths, or what lies in them, have by other mounts. Pure."""
    return {
        name: path for path in paths for name in _names(path, mounts) if not _within(name, path)
    }


def _names(path: str, mounts: list[Mount]) -> Iterable[str]:
    below = [mount for mount in mounts if _within(path, mount.point)]
    if not below:
        return
    # Of two mounts at one point the later one is seen.
    own = max(enumerate(below), key=lambda each: (len(each[1].point), each[0]))[1]
    inside = _join(own.root, os.path.relpath(path, own.point))
    for mount in mounts:
        if mount.device != own.device:
            continue
        if _within(mount.root, inside):
            yield mount.point
        elif _within(inside, mount.root):
            yield _join(mount.point, os.path.relpath(inside, mount.root))


def _join(folder: str, relative: str) -> str:
    return folder if relative == "." else f"{folder.rstrip('/')}/{relative}"


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
