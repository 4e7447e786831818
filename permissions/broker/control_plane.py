"""The broker's own files are out of every tool's reach, whoever asks and however they are spelled.

State, keys, settings, policies and overlays decide what the next call may do, so no tool reads or
changes them, in this process or in a sandbox, and no policy or person can allow it. Checked for
each path, each word of a command, each text in a text of SQL, and every other text that reads
like a path, whatever mark it has: against the text, where links lead, the files' identity (device
and inode, so hard links, bind mounts and letter case count), from the workspace and from the
working directory.

Does not protect from: a tool in this process that opens what its arguments do not name (a name
it puts together, SQL that does), or that changes a link between this check and its own opening;
and a folder above the broker's own that is read as a whole (a sandbox leaves them out, in
process the tool sees them).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from permissions.broker.named_paths import (
    folded,
    has_wildcards,
    matches,
    named_paths,
    readings,
)
from permissions.broker.other_names import OtherNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from permissions.vocabulary import JsonObject

_PROCESS = ("/proc/self", "/proc/thread-self", "/dev/fd")
"""This process as files: its memory, environment and open files, under any name of it."""


class ControlPlane:
    """Which files are the broker's own.

    Args:
        private: files and folders no tool may read or change.
        fixed: files and folders anybody may read and no tool may change.
    """

    def __init__(self, private: Iterable[Path] = (), *, fixed: Iterable[Path] = ()) -> None:
        self._private = _guarded(private)
        self._any = {**self._private, **_guarded(fixed)}
        self._others = OtherNames(os.path.realpath(own) for own in self._any)
        self._names = frozenset(
            folded(os.path.basename(own))  # noqa: PTH119 - of a text
            for own in self._private
            if not os.path.isdir(own)  # noqa: PTH112 - a folder's name may be any word
        )

    def reached(
        self,
        targets: Iterable[JsonObject],
        arguments: JsonObject,
        *,
        workspace: Path,
    ) -> str | None:
        """What of the broker's own a call names, or None.

        Args:
            targets: what its marked arguments point at.
            arguments: all of its arguments.
            workspace: folder that relative paths are meant from.
        """
        if not self._any:
            return None
        bases = [str(workspace)]
        with suppress(FileNotFoundError):  # removed; nothing relative to it can be opened
            bases.append(os.getcwd())  # noqa: PTH109 - for each call; a Path costs more
        texts = tuple(named_paths(targets, arguments, self._names))
        for writes in {writes for _, writes in texts}:
            guarded = self._with_other_names(self._any if writes else self._private)
            paths = {
                os.path.join(base, reading)  # noqa: PTH118 - `..` stays: links come first
                for text, changes in texts
                if changes == writes
                for reading in readings(text, bases)
                for base in bases
            }
            if paths and (own := _met(paths, guarded, bases, writes=writes)) is not None:
                return own
        return None

    def _with_other_names(self, guarded: Mapping[str, str]) -> Mapping[str, str]:
        if not (others := self._others.now()):
            return guarded
        found = {
            name: folded(name)
            for name, own in others.items()
            if any(own == each or own == os.path.realpath(each) for each in guarded)
        }
        return {**guarded, **found} if found else guarded


def _guarded(paths: Iterable[Path]) -> dict[str, str]:
    """Names of the broker's own, as they are written and as links lead; each with its folded form."""
    return {name: folded(name) for path in paths for name in _names(str(path))}


def _met(
    paths: set[str], guarded: Mapping[str, str], bases: list[str], *, writes: bool
) -> str | None:
    """Which of the broker's own files or folders paths lead to, lie in, or hold."""
    names = {name for path in paths for name in _names(path)}
    if any(_is_of_process(name) for name in names):
        return "this process"
    spelled = {folded(name) for name in names}
    wild = {name for name in spelled if has_wildcards(name)}
    for own, inner in guarded.items():
        if any(_within(name, inner) for name in spelled):
            return own
        if any(matches(name, inner) for name in wild):
            return own
    if writes:  # to move or remove a folder takes what lies in it along
        above = {name for name in spelled if not any(_within(folded(b), name) for b in bases)}
        for own, inner in guarded.items():
            if any(_within(inner, name) for name in above):
                return own
    parts = {part for name in names for part in _upwards(name)}
    met = {_identity(part) for part in parts} - {None}
    for own in guarded if met else ():
        if _identity(own) in met:
            return own
    linked = (_linked(path, guarded) for path in paths)
    return next((own for own in linked if own is not None), None)


def _names(path: str) -> set[str]:
    """A path without `.` and `..`, as it is written and as links lead."""
    whole = os.path.abspath(path)  # noqa: PTH100 - lexical on purpose
    names = {"/" + whole.lstrip("/")}
    with suppress(OSError):  # a link that this process may not read leads it nowhere
        names.add(os.path.realpath(path))
    return names


def _upwards(path: str) -> Iterator[str]:
    """A path and the folders it lies in, but for the root."""
    while path != "/":
        yield path
        path = path.rpartition("/")[0] or "/"


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_of_process(path: str) -> bool:
    if not path.startswith(("/proc/", "/dev/fd")):
        return False
    if any(_within(path, own) for own in (*_PROCESS, f"/proc/{os.getpid()}")):
        return True
    parts = path.split("/")
    return (
        parts[1:2] == ["proc"]
        and parts[2:3] != []
        and parts[2].isdecimal()
        and os.path.exists(f"/proc/self/task/{parts[2]}")  # noqa: PTH110
    )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text that may be no path
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _linked(path: str, guarded: Iterable[str]) -> str | None:
    """The file of the broker's own that a file is another name of, by hard link or `/proc`."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode) or (
        found.st_nlink < 2 and not path.startswith("/proc/")
    ):
        return None
    wanted = (found.st_dev, found.st_ino)
    for own in guarded:
        for folder, _, names in os.walk(own):
            for name in names:
                inside = os.path.join(folder, name)  # noqa: PTH118
                if _identity(inside) == wanted:
                    return inside
    return None
