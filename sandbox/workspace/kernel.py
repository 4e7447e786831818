"""The few system calls Python has no name for: renames that never overwrite, and mounts.

Linux only. Numbers below 424 differ between machines and are tabled; the mount calls came
after that and are the same everywhere.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)

_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "arm64": 276}.get(platform.machine(), -1)
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_READ_ONLY, _NO_SUID, _NO_DEV = 1, 2, 4
_ID_MAPPED = 0x100000
_DETACH, _NO_FOLLOW = 2, 8
_NEW_MOUNTS = 0x20000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000


def move(source: int, name: str, target: int, other: str) -> None:
    """Renames an entry to a name that is free.

    Raises:
        FileExistsError: it is not.
        OSError: any other refusal of the kernel.
    """
    _rename(source, name, target, other, _RENAME_NOREPLACE)


def exchange(source: int, name: str, target: int, other: str) -> None:
    """Swaps two entries in one step, whatever they are.

    Raises:
        OSError: one is missing, or the file system cannot.
    """
    _rename(source, name, target, other, _RENAME_EXCHANGE)


def _rename(source: int, name: str, target: int, other: str, flags: int) -> None:
    _call(_RENAMEAT2, source, os.fsencode(name), target, os.fsencode(other), flags)


def clone_tree(path: str, *, owners: int) -> int:
    """A detached, read-only copy of a mount, seen through other owners.

    Args:
        path: a directory.
        owners: descriptor of the user namespace whose map says who appears as whom.

    Raises:
        OSError: among others EINVAL, when the file system cannot map owners.
    """
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    try:
        wanted = _READ_ONLY | _NO_SUID | _NO_DEV | _ID_MAPPED
        # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
        attributes = struct.pack("QQQQ", wanted, 0, 0, owners)
        _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes))
    except BaseException:
        os.close(tree)
        raise
    return tree


def attach(tree: int, path: str) -> None:
    """Puts a detached mount onto a directory."""
    _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH)


def mount(kind: str, path: str, options: str) -> None:
    """Mounts a new file system, without set-user-id and devices."""
    _mount(kind, path, options, _NO_SUID | _NO_DEV)


def mount_read_only(kind: str, path: str, options: str) -> None:
    """As `mount`, and nobody writes."""
    _mount(kind, path, options, _NO_SUID | _NO_DEV | _READ_ONLY)


def _mount(kind: str, path: str, options: str, flags: int) -> None:
    name = kind.encode()
    if _LIBC.mount(name, os.fsencode(path), name, flags, os.fsencode(options)) != 0:
        _fail()


def unshare_mounts() -> None:
    """Gives this thread, and what it starts, mounts of its own: no change leads back."""
    if _LIBC.unshare(_NEW_MOUNTS) != 0:
        _fail()
    if _LIBC.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None) != 0:
        _fail()


def unmount(path: str) -> None:
    """Takes the topmost mount off a directory, also while something still holds it."""
    if _LIBC.umount2(os.fsencode(path), _DETACH | _NO_FOLLOW) != 0:
        _fail()


def _call(number: int, *arguments: int | bytes) -> int:
    answer: int = _LIBC.syscall(
        ctypes.c_long(number),
        *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments),
    )
    if answer < 0:
        _fail()
    return answer


def _fail() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
