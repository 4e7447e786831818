"""What this very code made of a bundle before, kept between processes: a cache that is signed.

What is kept here decides calls (the modules an evaluator starts from), so it counts only when
this user's Wardline wrote it: under a key that nobody else can read, for this very name, whole,
and by code that is this code to the byte. What is anything else is as if it were not there,
and the work is done again; that, and not speed, is what any doubt costs.

The key lies in the user's state folder and the cache in the user's cache folder, so that a
cache which was restored from elsewhere, or was given to somebody, is worth nothing.

Not protected from: a program that runs as this user. It could write the key, as it could write
the policies.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.files import create, make_folder, replace
from permissions.user_folders import cache_folder, state_folder

if TYPE_CHECKING:
    from collections.abc import Callable

_FOLDER = "policies"
_KEY = "cache.key"
_KEY_BYTES = _TAG_BYTES = 32
_MOST_BYTES = 64 * 1024 * 1024
_MOST_FILES = 32
"""A user has a few bundles, and edits one now and then."""
_ENGINES = ("gordon-to-regorus", "google-re2")
_FOLDER_OF_CODE = Path(__file__).parent
"""The decision point's package: all that makes what is kept is in it."""
_SUFFIXES = frozenset({".py", ".json"})


def recall(what: str) -> bytes | None:
    """What was kept under this name by this code, for this user; None in any doubt.

    Args:
        what: names the work and everything beside the code that its result follows from.
    """
    try:
        folder = cache_folder() / _FOLDER
        if not _is_own(folder.lstat(), stat.S_ISDIR):
            return None
        key = _key(state_folder() / _KEY)
        name = _name(key, what)
        found = _read(folder / name)
    except (OSError, RuntimeError):  # the second when nobody knows this user's home
        return None
    tag, data = found[:_TAG_BYTES], found[_TAG_BYTES:]
    return data if hmac.compare_digest(tag, _tag(key, name, data)) else None


def remember(what: str, data: bytes) -> None:
    """Keeps this under a name. Where that cannot be done it is not kept; nobody is told."""
    with suppress(OSError, RuntimeError):
        folder, state = cache_folder() / _FOLDER, state_folder()
        if not (_is_ours_to_make(folder) and _is_ours_to_make(state)):
            return
        for each in (state, folder):
            make_folder(each)
        if not _is_own(folder.lstat(), stat.S_ISDIR):
            return
        with suppress(FileExistsError):
            create(state / _KEY, secrets.token_bytes(_KEY_BYTES))
        key = _key(state / _KEY)
        name = _name(key, what)
        _make_room(folder)
        replace(folder / name, _tag(key, name, data) + data)


def _key(path: Path) -> bytes:
    key = _read(path, private=True)
    if len(key) != _KEY_BYTES or not _CODE:
        raise PermissionError(path)
    return key


def _name(key: bytes, what: str) -> str:
    """A name of 64 characters that differs with the key, too: no two keys share a file."""
    return hmac.digest(key, f"{_CODE} {what}".encode(), "sha256").hex()


def _tag(key: bytes, name: str, data: bytes) -> bytes:
    return hmac.digest(key, name.encode() + data, "sha256")


def _code() -> str:
    """The digest of the code that makes what is kept; empty where it cannot be read.

    Of the code itself and not of a version number, so that nobody has to remember to raise one.
    """
    try:
        parts = [sys.version, *(f"{name} {version(name)}" for name in _ENGINES)]
        files = sorted(path for path in _FOLDER_OF_CODE.rglob("*") if path.suffix in _SUFFIXES)
        if Path(__file__) not in files:
            return ""
        for path in files:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            parts.append(f"{path.relative_to(_FOLDER_OF_CODE)} {digest}")
    except (OSError, ImportError):
        return ""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


_CODE = _code()
"""Taken when the code is loaded: what lies there later may be another version than what runs."""


def _read(path: Path, *, private: bool = False) -> bytes:
    """A file that only this user can have written, and, if `private`, can read.

    Raises:
        OSError: it is not there, or none such.
    """
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(source, "rb") as opened:
        found = os.fstat(source)
        if not _is_own(found, stat.S_ISREG) or (private and found.st_mode & 0o077):
            raise PermissionError(path)
        return opened.read(_MOST_BYTES)


def _is_own(found: os.stat_result, kind: Callable[[int], bool]) -> bool:
    return (
        kind(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _is_ours_to_make(folder: Path) -> bool:
    """Whether the nearest folder that is there is this user's: `sudo` keeps another's home."""
    for each in (folder, *folder.parents):
        with suppress(FileNotFoundError):
            return each.stat().st_uid == os.geteuid()
    return False


def _make_room(folder: Path) -> None:
    """Removes what was written first, beyond the limit."""
    found = sorted((each.stat().st_mtime_ns, each.name) for each in folder.iterdir())
    for _, name in found[: max(0, len(found) - _MOST_FILES + 1)]:
        (folder / name).unlink(missing_ok=True)
