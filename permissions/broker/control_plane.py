"""The broker's own files are out of every tool's reach, whoever asks and however they are spelled.

State, keys, settings, policies and overlays decide what the next call may do, so no tool reads or
changes them, in this process or in a sandbox, and no policy or person can allow it. Checked for
each path and each word of a command that a call names, and for arguments without a mark that
read like a path: against the text, where links lead, the files' identity (device and inode, so
hard links, bind mounts and letter case count), from the workspace and from the working directory.

Does not protect from: a tool in this process that opens what its arguments do not name, or that
changes a link between this check and its own opening; and a folder above the broker's own that
is read as a whole (a sandbox leaves them out, in process the tool sees them).
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.vocabulary import JsonObject, JsonValue

_PROCESS = ("/proc/self", "/proc/thread-self", "/dev/fd")
"""This process as files: its memory, environment and open files, under any name of it."""
_OPTION = re.compile(r"[=@:]")
_MOST = 4096
"""Characters of a path; Linux takes no longer ones."""


class ControlPlane:
    """Which files are the broker's own.

    Args:
        private: files and folders no tool may read or change.
        fixed: files and folders anybody may read and no tool may change.
    """

    def __init__(self, private: Iterable[Path] = (), *, fixed: Iterable[Path] = ()) -> None:
        self._private = frozenset(each for path in private for each in _names(str(path)))
        self._fixed = frozenset(each for path in fixed for each in _names(str(path)))

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
        if not self._private and not self._fixed:
            return None
        marked = {str(target["argument"]) for target in targets if "argument" in target}
        bases = [str(workspace)]
        with suppress(FileNotFoundError):  # removed; nothing relative to it can be opened
            bases.append(str(Path.cwd()))
        texts = (*_of_targets(targets, arguments), *_unmarked(arguments, marked))
        paths = {(path, writes) for text, writes in texts for path in _absolute(text, bases)}
        found = (self._own(path, bases, writes=writes) for path, writes in sorted(paths))
        return next((own for own in found if own is not None), None)

    def _own(self, path: str, bases: list[str], *, writes: bool) -> str | None:
        """Which of the broker's own files or folders a path leads to, lies in, or holds."""
        guarded = self._private | self._fixed if writes else self._private
        names = _names(path)
        if any(_is_of_process(name) for name in names):
            return "this process"
        folded = [_folded(name) for name in names]
        for own in guarded:
            inner = _folded(own)
            if any(_within(name, inner) for name in folded):
                return own
            # To move or remove a folder takes what lies in it along.
            if writes and any(
                _within(inner, name) and not any(_within(_folded(base), name) for base in bases)
                for name in folded
            ):
                return own
        own_files = {identity: own for own in guarded if (identity := _identity(own))}
        parts = {each for name in names for each in (name, *map(str, Path(name).parents))}
        met = own_files.keys() & {_identity(part) for part in parts}
        return own_files[met.pop()] if met else _linked(path, guarded)


def _of_targets(
    targets: Iterable[JsonObject], arguments: JsonObject
) -> Iterator[tuple[str, bool]]:
    """Each text a target may be opened by, and whether that may change something."""
    for target in targets:
        match target.get("kind"):
            case "path":
                writes = target.get("access") != "read"
                yield from ((str(target[name]), writes) for name in ("path", "resolved"))
                given = arguments.get(str(target["argument"]))
                yield from ((text, writes) for text in _texts(given))
            case "command":
                words = [word for text in _texts(target.get("argv")) for word in text.split()]
                words += _texts([each["argv"] for each in target.get("commands") or []])
                yield from ((part, False) for word in words for part in _of_word(word))
            case _:
                pass


def _of_word(word: str) -> Iterator[str]:
    """A word of a command, and what it may hold of a path: `--file=x`, `@x`, `-fx`, `>x`."""
    word = word.strip("\"'`;&|()<>")
    yield word
    yield from _OPTION.split(word)[1:]
    if word.startswith("-"):
        yield word[2:]


def _unmarked(arguments: JsonObject, marked: set[str]) -> Iterator[tuple[str, bool]]:
    """Texts of arguments nobody described, as far as they read like a path of one line."""
    for name, value in arguments.items():
        if name not in marked:
            for text in _texts(value):
                if "/" in text or text.startswith((".", "~")):
                    yield text, False


def _texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            for key, each in value.items():
                yield from _texts(key)
                yield from _texts(each)
        case _:
            pass


def _absolute(text: str, bases: Iterable[str]) -> Iterator[str]:
    """The files a text may name: from each base, with `~` and `file:` read as programs do."""
    if not text or len(text) > _MOST or "\0" in text or "\n" in text:
        return
    texts = [text]
    if text.startswith("~"):
        texts.append(os.path.expanduser(text))  # noqa: PTH111 - an unknown user stays as it is
    if text[:5].lower() == "file:":
        with suppress(ValueError):
            texts.append(unquote(urlsplit(text).path))
    for each in texts:
        for base in bases:
            yield os.path.join(base, each)  # noqa: PTH118 - `..` stays: links come first


def _names(path: str) -> set[str]:
    """A path without `.` and `..`, as it is written and as links lead."""
    whole = os.path.abspath(path)  # noqa: PTH100 - lexical on purpose
    return {"/" + whole.lstrip("/"), os.path.realpath(path)}


def _folded(path: str) -> str:
    """For file systems to which letter case, or how an accent is composed, is nothing."""
    return unicodedata.normalize("NFC", path).casefold()


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_of_process(path: str) -> bool:
    if any(_within(path, own) for own in (*_PROCESS, f"/proc/{os.getpid()}")):
        return True
    found = re.match(r"/proc/(\d+)(?:/|$)", path)
    return found is not None and os.path.exists(f"/proc/self/task/{found[1]}")  # noqa: PTH110


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
