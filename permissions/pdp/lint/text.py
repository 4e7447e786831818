"""What must be true of a policy's text before a parser may see it.

The embedded engine's parse time doubles with each open bracket (16 deep takes 60 ms, 24 deep
half a minute), so nesting is counted here first, by a scanner that knows only strings and
comments.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import Position
from permissions.pdp.rego.finding import Finding
from permissions.pdp.regorus.parse import MAX_COLUMNS, MAX_LINES, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NESTING = 12

_OPAQUE = re.compile(r'#[^\n]*|"(?:\\.|[^"\\\n])*"|`[^`]*`', re.DOTALL)
_UNREAD = {"\0": "null character", "\ufeff": "byte-order mark"}
_BRACKETS = re.compile(r"[\[\](){}]")
_KEYWORD_AS_NAME = re.compile(r"(?<![\w.])(in|not|some|every|if|else)\[")
_GOES_ON = re.compile(
    r"[ \t\r]*(?:$|[-\n#,;:)\]}=!<>+*/%|&.]|(?:if|in|with|else|as|contains)\b)"
)
"""What may follow on the line on which a text of several lines ends."""


def check_text(path: str, text: str) -> Iterator[Finding]:
    """Findings about length, nesting, and characters that no policy may hold."""
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        yield Finding(
            path,
            Position(MAX_LINES, 1),
            "rego.lines",
            f"more than {MAX_LINES:,} lines",
            "split it, with all clauses of one function in one file",
        )
    for number, line in enumerate(lines, 1):
        if len(line.encode()) >= MAX_COLUMNS:
            yield Finding(
                path,
                Position(number, MAX_COLUMNS),
                "rego.line_length",
                f"a line of {MAX_COLUMNS:,} bytes or more",
                "break it; move tables to data/",
            )
    for char, name in _UNREAD.items():
        if char in text:
            yield Finding(
                path,
                _position(text, text.index(char)),
                "rego.parse",
                f"a {name}, which OPA reads nowhere",
                "remove it",
            )
            return
    try:
        plain = readable(text)
    except ValueError as err:
        yield Finding(path, Position(1, 1), "rego.parse", str(err), "close it")
        return
    bare = _OPAQUE.sub(_blank, plain)
    yield from _nesting(path, bare)
    yield from _read_otherwise(path, plain, bare)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found.group())


def _nesting(path: str, bare: str) -> Iterator[Finding]:
    depth = 0
    for found in _BRACKETS.finditer(bare):
        depth += 1 if found.group() in "[({" else -1
        if depth > MAX_NESTING:
            yield Finding(
                path,
                _position(bare, found.start()),
                "rego.nesting",
                f"brackets nested deeper than {MAX_NESTING}",
                "name the inner parts as rules of their own",
            )
            return


def _read_otherwise(path: str, plain: str, bare: str) -> Iterator[Finding]:
    """What the engine's parser takes and OPA's does not."""
    for found in _KEYWORD_AS_NAME.finditer(bare):
        yield Finding(
            path,
            _position(bare, found.start()),
            "rego.parse",
            f"`{found.group()}` is a reference to OPA, and no keyword",
            "put a space before the bracket",
        )
    for found in _OPAQUE.finditer(plain):
        is_long_text = found.group().startswith("`") and "\n" in found.group()
        if is_long_text and not _GOES_ON.match(plain, found.end()):
            yield Finding(
                path,
                _position(plain, found.end() - 1),
                "rego.parse",
                "something begins on the line on which a text of several lines ends",
                "begin a line for it",
            )


def _position(text: str, at: int) -> Position:
    return Position(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
