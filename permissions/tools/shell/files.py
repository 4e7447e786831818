"""Which files a shell text names: by its words, its redirections, and where `cd` leads.

Looked up on disk and not run, so that a pattern (`.e*`) is the files it stands for.

A word counts as a file when it is one, or reads like a path; what a program does to it is told
by `file_use`. Where only running the text would show a name, it is open (`is_open`). Not
protected from: files that a program opens without being told, and what comes to stand under a
name after the look.
"""

from __future__ import annotations

import glob
import os
import re
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from permissions.tools.shell.file_use import (
    SEARCHES,
    goes_into,
    has_names_elsewhere,
    is_script,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.tools.shell.reading import Command, Reading
    from permissions.tools.shell.text import Word

MAX_FILES: Final = 400
"""Of one text; one that names more is not judged by them."""
MAX_MATCHES: Final = 200
"""Files that one pattern is looked up for."""

_NO_FILE: Final = re.compile(r"/dev/(?:null|zero|full|stdin|stdout|stderr|tty|u?random)\Z")
_PIECES: Final = re.compile(r"[=@:,]")
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\d|[A-Za-z_]\w*|[?#!$*@-]))")
_ANSI: Final = re.compile(r"\$'((?:[^'\\]|\\.)*)'")
_TALKERS: Final = frozenset(
    {
        ":", "[", "basename", "dirname", "echo", "exit", "export", "expr", "false", "kill",
        "printf", "return", "seq", "sleep", "test", "true", "unset", "wait",
    }
)  # fmt: skip
"""Programs to which no word is a file, so that one nobody knows yet does not matter."""
_RANGE: Final = re.compile(r"\{[^{}]*\.\.[^{}]*\}")
_BRACES: Final = re.compile(r"\{([^{}]*,[^{}]*)\}")
_PATTERN: Final = re.compile(r"[*?\[]")


class NamedFile(NamedTuple):
    """A file that a text names, absolute, links and `..` as they stand there."""

    path: str
    writes: bool


def files_named(reading: Reading, folder: str) -> list[NamedFile] | None:
    """The files a text names, each once; None when they are too many to be looked at.

    Args:
        reading: of the text.
        folder: where it is run, absolute.
    """
    known = _known(reading, folder)
    bases = _bases(reading.commands, folder, known)
    found: dict[NamedFile, None] = {}
    for path, writes in _said(reading, known):
        for base in bases:
            for each in _on_disk(path, base, writes=writes):
                found[each] = None
        if len(found) > MAX_FILES:
            return None
    return [*found]


def _bases(commands: Iterable[Command], folder: str, known: dict[str, list[str]]) -> list[str]:
    """Every folder that a part of the text may run in: `cd x`, `git -C x`, `make -C x`."""
    bases = [folder]
    for command in commands:
        texts = [text for word in command.words for text in _meant(word, known)]
        given = [after for at, after in pairwise(texts) if at == "-C"]
        if command.program in {"cd", "pushd"}:
            given += [each for each in texts[1:] if not each.startswith("-")] or ["~"]
        for each in given:
            at = os.path.join(bases[-1], os.path.expanduser(each))  # noqa: PTH111, PTH118
            if at not in bases and os.path.isdir(at):  # noqa: PTH112
                bases.append(at)
    return bases[:8]


def is_open(reading: Reading, folder: str) -> bool:
    """Whether a text opens a file, or passes a word on, that only running it would show."""
    for command in reading.commands:
        texts = [word.text for word in command.words[1:]]
        if has_names_elsewhere(command.program.lower(), texts):
            return True
    known = _known(reading, folder)
    opened = [each.word for each in reading.redirections]
    for command in reading.commands:
        if command.program.lower() not in _TALKERS:
            opened += command.words[1:]
    return any(
        "$" in text or "`" in text or _RANGE.search(text) or (text == "..." and not word.fixed)
        for word in opened
        if not word.fixed
        for text in _meant(word, known)
    )


def _known(reading: Reading, folder: str) -> dict[str, list[str]]:
    """What each variable may hold; the shell's own that are short hold nothing."""
    known = {"HOME": [os.path.expanduser("~")], "PWD": [folder], "IFS": [""]}  # noqa: PTH111
    known |= {each: [""] for each in "0123456789?#!$*@-"}
    for name, word in reading.words:
        if word.fixed or not re.search(r"[$`]", word.text):
            known.setdefault(name, []).append(word.text)
        else:
            known[name] = ["$("]  # nobody knows
    return known


def _said(reading: Reading, known: dict[str, list[str]]) -> Iterator[tuple[str, bool]]:
    for redirection in reading.redirections:
        for text in _meant(redirection.word, known):
            yield text, redirection.writes
    for _, word in reading.words:
        for text in _meant(word, known):
            yield from ((piece, False) for piece in _pieces(text))
    for command in reading.commands:
        yield from _of_command(command, known)


def _of_command(command: Command, known: dict[str, list[str]]) -> Iterator[tuple[str, bool]]:
    program = command.program.lower()
    texts = [text for word in command.words for text in _meant(word, known)]
    if not texts:
        return
    if "/" in texts[0]:
        yield texts[0], False
    goes_in = goes_into(program, texts[1:])
    operands = [text for text in texts[1:] if not text.startswith("-")]
    if goes_in and program in SEARCHES and len(operands) < 2:
        yield ".", False  # `grep -r x` goes through where it stands
    for text, writes in zip(texts[1:], written(program, texts[1:]), strict=True):
        if is_script(program, text):
            continue
        for piece in _pieces(text):
            if goes_in or writes or not _is_folder(piece, known["PWD"][0]):
                yield piece, writes


def _pieces(text: str) -> Iterator[str]:
    """A word, and what it may hold of a path: `--file=x`, `@x`, `-fx`, `HEAD:x`."""
    if "://" in text:
        yield from [text.partition("://")[2]] if text.lower().startswith("file:") else []
        return
    if not text.startswith("-"):
        yield text
    elif len(text) > 2 and not text.startswith("--"):
        yield text[2:]
    yield from (piece for piece in _PIECES.split(text)[1:] if piece)


def _meant(word: Word, known: dict[str, list[str]]) -> list[str]:
    """What a word may stand for, with the variables of the text, braces and `~` read."""
    if word.fixed:
        return [word.text]
    plain = _ANSI.sub(lambda found: _unescaped(found[1]), word.text)
    texts = [re.sub(r"[\"'\\]", "", plain)]
    for _ in range(3):
        texts = [each for text in texts for each in islice(_replaced(text, known), 8)]
    texts = [each for text in texts for each in islice(_spread(text), 32)]
    # A value without quotes is as many words as there are spaces in it.
    texts += [part for text in texts if " " in text for part in text.split()]
    return [os.path.expanduser(text) for text in texts]  # noqa: PTH111 - a text


def _unescaped(text: str) -> str:
    """What `$'...'` holds."""
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError:
        return "$("  # nobody knows


def _replaced(text: str, known: dict[str, list[str]]) -> Iterator[str]:
    found = _VARIABLE.search(text)
    values = known.get((found[1] or found[2]) if found else "", [])
    if found is None or not values:
        yield text
        return
    for value in values:
        yield text[: found.start()] + value + text[found.end() :]


def _spread(text: str) -> Iterator[str]:
    found = _BRACES.search(text)
    if found is None:
        yield text
        return
    for each in found[1].split(","):
        yield from _spread(text[: found.start()] + each + text[found.end() :])


def _on_disk(text: str, base: str, *, writes: bool) -> Iterator[NamedFile]:
    """The files a word is, from one folder; none when it is a word and no file."""
    if not text or "\0" in text or "\n" in text or len(text) > 4096:
        return
    path = os.path.join(base, text)  # noqa: PTH118 - `..` stays: links come first
    if _NO_FILE.match(os.path.normpath(path)):
        return
    if _PATTERN.search(text):
        found = {
            match
            for hidden in (False, True)  # `.e*`, and `*` where a shell is told to show all
            for match in islice(glob.iglob(path, include_hidden=hidden), MAX_MATCHES)  # noqa: PTH207
        }
        yield from (NamedFile(match, writes) for match in sorted(found))
        if os.path.lexists(path):
            yield NamedFile(path, writes)
        elif writes and not found:  # then it is a name; one like it says where it would be
            yield NamedFile(_PATTERN.sub("_", path), writes)
        return
    if writes or "/" in text or os.path.lexists(path):
        yield NamedFile(path, writes)


def _is_folder(text: str, base: str) -> bool:
    return os.path.isdir(os.path.join(base, text))  # noqa: PTH112, PTH118
