"""The texts of a call that a program may take for the name of a file.

Pure, but for `~`, variables (`$HOME`) and a look whether a folder is there.

For the check that no call names a file of the broker's own, so in doubt a text is one: with
white space around it, behind a scheme or an option, with an archive's member after it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from permissions.vocabulary import JsonObject, JsonValue

MAX_PATH: Final = 4096
"""Characters of a path; Linux takes no longer ones."""
_OPTION = re.compile(r"[=@:,;<>|]")
_MOVING = frozenset({"mv", "rm", "rmdir", "rename", "shred", "unlink"})
"""Programs that take what lies in a folder along."""
_HERE = re.compile(r"\$PWD\b|\$\{PWD\}|\$\(pwd\)|`pwd`|^~\+")
_SEPARATOR = re.compile(r"[,;|:]")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_CODE = re.compile(r"[\s\"'():;]")
"""What stands in code and prose, whose braces and commas are no list of files."""
_QUOTED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"'((?:[^']|'')*)'",
        r'"((?:[^"]|"")*)"',
        r"`([^`]*)`",
        r"\[([^\]]*)\]",
        r"\$\w*\$(.*?)\$\w*\$",
    )
)
"""Texts and quoted names of every dialect of SQL: some databases open a file by either."""
_WRITING = frozenset({"copy", "other", "session"})
"""Classes of statements that may write a file."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*):(/*)")
_NO_FILES = frozenset({"http", "https", "ws", "wss", "mailto", "tel", "data", "urn"})
_MEMBER = re.compile(r"!/?|::|[?#|]")
"""What stands after a file in the address of a part of it, or of how to open it."""
_WILD = re.compile(r"[*?\[]")
_MOST_READINGS = 1024
_MOST_JSON = 1 << 20


def named_paths(
    targets: Iterable[JsonObject], arguments: JsonObject, names: Collection[str]
) -> Iterator[tuple[str, bool]]:
    """Each text that a call may open a file by, and whether that may change something.

    Args:
        targets: what its marked arguments point at.
        arguments: all of its arguments.
        names: of files, folded; one of them alone reads like a path, too.
    """
    known, is_text = set(), True
    for target in targets:
        if target["kind"] in _LOOKED_AT:
            known.add(target.get("argument"))
            given = arguments.get(str(target.get("argument")))
            yield from _LOOKED_AT[target["kind"]](target, given)
        # Beside a file to write, a text is most likely what goes into it.
        is_text = is_text and (target["kind"], target.get("access")) != ("path", "write")
    for name, value in arguments.items():
        if name not in known:
            for text in _with_json(value) if is_text else _texts(value):
                if _is_pathlike(text, names):
                    yield text, False


def _of_path(target: JsonObject, given: JsonValue) -> Iterator[tuple[str, bool]]:
    writes = target.get("access") != "read"
    for text in (target["path"], target["resolved"], *_texts(given)):
        yield str(text), writes


def _of_command(target: JsonObject, _: JsonValue) -> Iterator[tuple[str, bool]]:
    argvs = [each["argv"] for each in target.get("commands") or []]
    texts = [*_texts(target.get("argv")), *_texts(argvs)]
    moves = any(str(argv[0]).rpartition("/")[2] in _MOVING for argv in argvs if argv)
    words = {word: None for text in texts for word in (text, *text.split(), *_strings(text))}
    for word in words:
        yield from ((part, moves) for part in _of_word(word))


def _of_sql(target: JsonObject, given: JsonValue) -> Iterator[tuple[str, bool]]:
    classes = {name for each in target["statements"] for name in each["classes"]}
    writes = not classes.isdisjoint(_WRITING)
    for text in _texts(given):
        yield from ((part, writes and "/" in part) for part in _quoted(text))


def _of_host(_: JsonObject, __: JsonValue) -> Iterator[tuple[str, bool]]:
    return iter(())  # parsed: no scheme of it names a file


_LOOKED_AT: Final = {
    "path": _of_path,
    "command": _of_command,
    "sql": _of_sql,
    "host": _of_host,
}
"""By the kind of a target; arguments with any other mark are looked at like those with none."""


def _is_pathlike(text: str, names: Collection[str]) -> bool:
    text = text.strip()
    if "/" in text or "\\" in text or "%2" in text or text.startswith((".", "~")):
        return True
    return _mentions(text, names) or (_WILD.search(text) is not None and " " not in text)


def _mentions(text: str, names: Collection[str]) -> bool:
    if len(text) > MAX_PATH:
        return False
    known = folded(text)
    return any(name in known for name in names)


def _of_word(word: str) -> Iterator[str]:
    """A word of a command, and what it may hold of a path: `--file=x`, `@x`, `-fx`, `2>x`."""
    if word.startswith("$'"):
        with suppress(UnicodeDecodeError):
            yield word[2:].strip("'").encode("ascii", "replace").decode("unicode_escape")
    word = word.strip("\"'`;&|()<>")
    yield word
    parts = _OPTION.split(word)
    if len(parts) > 1:
        yield from parts
    if word.startswith("-"):
        yield word[2:]


def _strings(text: str) -> Iterator[str]:
    for pattern in _QUOTED[:2]:
        yield from (found[1] for found in pattern.finditer(text))


def _quoted(text: str) -> Iterator[str]:
    for pattern in _QUOTED:
        for found in pattern.finditer(text):
            yield found[1].replace("''", "'")


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


def _with_json(value: JsonValue) -> Iterator[str]:
    """The texts of a value, and those in a text that is JSON itself."""
    for text in _texts(value):
        yield text
        if text.lstrip()[:1] in {"{", "["} and len(text) <= _MOST_JSON:
            with suppress(ValueError):
                yield from _with_json(orjson.loads(text))


def readings(text: str, bases: Sequence[str]) -> list[str]:
    """The paths that a text may be read as, absolute or not.

    Args:
        bases: folders that relative ones are meant from.
    """
    found: dict[str, None] = {}
    waiting = [text]
    while waiting and len(found) < _MOST_READINGS:
        each = waiting.pop()
        path = _path(each, bases)
        if path is None or path in found:
            continue
        found[path] = None
        if path.startswith("~"):
            found[os.path.expanduser(path)] = None  # noqa: PTH111 - an unknown user stays
        waiting += _inside(each)
    return [*found]


def _inside(text: str) -> Iterator[str]:
    """What a text that is more than a path may hold of one."""
    if text.strip() != text:
        yield text.strip()
    found = _SCHEME.match(text)
    if found and found[1].lower() in _NO_FILES:
        return
    yield from _expanded(text)
    if "%" in text:
        yield unquote(text)
    if "\\" in text:
        yield text.replace("\\", "/")
    if found:
        rest = text[found.end() :]
        yield rest  # sqlite:///x names x, file:x too
        yield unquote(rest)
        if found[2]:
            yield f"/{rest}"
            yield f"/{unquote(rest)}"
            yield "/" + rest.partition("/")[2]  # without the host of file://host/x
            yield "/" + unquote(rest.partition("/")[2])
    if _MEMBER.search(text):
        yield from _MEMBER.split(text)[:8]
    if text[:1] in {"@", "<", ">", "'", '"'}:
        yield text.strip("@<>'\"")
    if "=" in text:
        yield text.partition("=")[2]


def _expanded(text: str) -> Iterator[str]:
    """As a shell expands it, or a program that takes a list of files."""
    if "$" in text:
        yield os.path.expandvars(text)
    if (here := _HERE.sub(".", text)) != text:
        yield here
    if _CODE.search(text) is None and (braces := _BRACES.search(text)):
        for each in braces[1].split(","):
            yield text[: braces.start()] + each + text[braces.end() :]
    elif len(parts := _SEPARATOR.split(text)) > 1 and len(text.split()) == 1:
        yield from parts


def _path(text: str, bases: Sequence[str]) -> str | None:
    """A text as a path, or None when no program takes it for one.

    Programs that make a path shorter before they open it (`././b`, or `a/../b` where there is
    no `a`) open more than the system would.
    """
    if not text.strip() or "\0" in text:
        return None
    if len(text) <= MAX_PATH and ("\n" not in text or _begins(text, bases)):
        return text
    shorter = os.path.normpath(text.strip())
    return shorter if len(shorter) <= MAX_PATH and "\n" not in shorter else None


def _begins(text: str, bases: Sequence[str]) -> bool:
    """Whether a text of several lines begins with a folder that is there."""
    first = text.partition("/")[0]
    return len(first) < 256 and any(os.path.lexists(os.path.join(b, first)) for b in bases)  # noqa: PTH118


def folded(path: str) -> str:
    """For file systems to which letter case, how an accent is composed, or what has no width is nothing."""
    if path.isascii():
        return path.lower()
    seen = "".join(char for char in path if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", seen).casefold()


def has_wildcards(path: str) -> bool:
    """Whether a path names more than itself."""
    return _WILD.search(path) is not None


def matches(path: str, own: str) -> bool:
    """Whether a path with wildcards names a file, or what lies in it.

    A part that matches everything (`*`, `**`) is as the folder it stands in, read as a whole.
    """
    parts, wanted = path.split("/"), own.split("/")
    return len(parts) >= len(wanted) and all(
        fnmatchcase(name, part) and part not in {"*", "**"}
        for name, part in zip(wanted, parts, strict=False)
    )
