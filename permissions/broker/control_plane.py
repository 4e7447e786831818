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
    from collections.abc import Collection, Iterable, Iterator, Mapping

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
        self._private = _guarded(private)
        self._any = {**self._private, **_guarded(fixed)}
        self._names = frozenset(
            _folded(os.path.basename(own))  # noqa: PTH119 - of a text
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
        marked = {str(target["argument"]) for target in targets if "argument" in target}
        bases = [str(workspace)]
        with suppress(FileNotFoundError):  # removed; nothing relative to it can be opened
            bases.append(str(Path.cwd()))
        bare = _unmarked(arguments, marked, self._names)
        texts = (*_of_targets(targets, arguments), *bare)
        for writes in {writes for _, writes in texts}:
            guarded = self._any if writes else self._private
            paths = {
                path
                for text, changes in texts
                if changes == writes
                for path in _absolute(text, bases)
            }
            if paths and (own := _met(paths, guarded, bases, writes=writes)) is not None:
                return own
        return None


def _guarded(paths: Iterable[Path]) -> dict[str, str]:
    """Names of the broker's own, as they are written and as links lead; each with its folded form."""
    return {name: _folded(name) for path in paths for name in _names(str(path))}


def _met(
    paths: set[str], guarded: Mapping[str, str], bases: list[str], *, writes: bool
) -> str | None:
    """Which of the broker's own files or folders paths lead to, lie in, or hold."""
    names = {name for path in paths for name in _names(path)}
    if any(_is_of_process(name) for name in names):
        return "this process"
    folded = {_folded(name) for name in names}
    for own, inner in guarded.items():
        if any(_within(name, inner) for name in folded):
            return own
    if writes:  # to move or remove a folder takes what lies in it along
        above = {name for name in folded if not any(_within(_folded(b), name) for b in bases)}
        for own, inner in guarded.items():
            if any(_within(inner, name) for name in above):
                return own
    parts = {part for name in names for part in _upwards(name)}
    met = {_identity(part) for part in parts} - {None}
    for own in guarded:
        if _identity(own) in met:
            return own
    linked = (_linked(path, guarded) for path in paths)
    return next((own for own in linked if own is not None), None)


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


def _unmarked(
    arguments: JsonObject, marked: set[str], names: Collection[str]
) -> Iterator[tuple[str, bool]]:
    """Texts of arguments nobody described, as far as they read like a path of one line.

    A word alone does when it is the name of a file of the broker's own.
    """
    for name, value in arguments.items():
        if name not in marked:
            for text in _texts(value):
                if "/" in text or text.startswith((".", "~")) or _folded(text) in names:
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


def _upwards(path: str) -> Iterator[str]:
    """A path and the folders it lies in, but for the root."""
    while path != "/":
        yield path
        path = path.rpartition("/")[0] or "/"


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
