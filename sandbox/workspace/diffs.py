"""Unified diffs of small text files, for the person who is asked about a change set.

What is shown was chosen by the run: control characters are made visible, so that no text can
move a terminal's cursor, and every size is bounded before anything is compared.
"""

from __future__ import annotations

import difflib
import os
import re
from typing import TYPE_CHECKING

from sandbox.workspace.at import NotPlainError, opened

if TYPE_CHECKING:
    from sandbox.workspace.model import Base

FILE_BYTES = 256 * 1024
"""Of a larger file the head is compared."""
LINES = 1500
"""Comparing costs as the product of both sides' lines; beyond that the head of each is shown."""
CONTEXT = 3
SHARE = 4
"""No file takes more than this part of the room that is left, so that others are seen, too."""


class Diffs:
    """Collects diffs until their bytes are used up; then it says how much is not shown.

    Attributes:
        found: text by path. A file that is missing here is binary.
    """

    def __init__(self, room: int) -> None:
        self.found: dict[str, str] = {}
        self._room = room

    def add(
        self, path: str, new: tuple[int, str, int], old: tuple[int | None, str, Base | None]
    ) -> None:
        """Compares a file with what it replaces.

        Args:
            path: as shown.
            new: folder, name and size.
            old: folder, name, and what was there; None twice for a new file.
        """
        folder, name, base = old
        after = _lines(*new)
        nothing: tuple[list[str], int] = ([], 0)
        before = nothing if folder is None or base is None else _lines(folder, name, base.size)
        if after is None or before is None or after == before:
            return
        named = "/dev/null" if base is None else f"a/{path}"
        lines = _compared(before[0], after[0], (named, f"b/{path}"))
        if unread := before[1] + after[1]:
            lines.append(f"... {unread} more bytes at the end are not shown")
        self.found[path] = self._cut([visible(line) for line in lines])

    def _cut(self, lines: list[str]) -> str:
        """As much of it as there is room for, from its head, and how much is missing."""
        room = max(self._room // SHARE, 0)
        kept, used = 0, 0
        while kept < len(lines) and used + len(lines[kept].encode()) + 1 <= room:
            used += len(lines[kept].encode()) + 1
            kept += 1
        self._room -= used
        text = lines[:kept]
        if kept < len(lines):
            text.append(f"... {len(lines) - kept} more lines of this diff are not shown")
        return "\n".join(text)


def _compared(before: list[str], after: list[str], names: tuple[str, str]) -> list[str]:
    """A unified diff. What both sides begin and end with costs nothing to compare."""
    begin = 0
    while begin < min(len(before), len(after)) and before[begin] == after[begin]:
        begin += 1
    most = min(len(before), len(after)) - begin
    end = 0
    while end < most and before[-1 - end] == after[-1 - end]:
        end += 1
    first, last = max(begin - CONTEXT, 0), max(end - CONTEXT, 0)
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    missing = max(len(old) - LINES, 0) + max(len(new) - LINES, 0)
    lines = list(difflib.unified_diff(old[:LINES], new[:LINES], *names, n=CONTEXT, lineterm=""))
    lines = [_moved(line, first) for line in lines]
    if missing:
        lines.append(f"... {missing} more lines are not compared")
    return lines


def _moved(line: str, by: int) -> str:
    """A hunk's head with the lines before what was compared counted in."""
    if not line.startswith("@@ "):
        return line
    return _NUMBER.sub(lambda found: f"{found[1]}{int(found[2]) + by}", line)


_NUMBER = re.compile(r"([-+])(\d+)")


def visible(line: str) -> str:
    """A line with everything escaped that is not printed as itself."""
    return "".join(
        letter if letter.isprintable() or letter == "\t" else ascii(letter)[1:-1]
        for letter in line
    )


def _lines(folder: int, name: str, size: int) -> tuple[list[str], int] | None:
    """The lines of its head, and how many bytes follow; None when it is no text."""
    try:
        with opened(folder, name, size) as source:
            data = os.read(source, FILE_BYTES)
            while len(data) < min(size, FILE_BYTES) and (more := os.read(source, FILE_BYTES)):
                data += more
        whole = len(data) == size
        if not whole and b"\n" in data:
            data = data[: data.rindex(b"\n") + 1]
        text = data.decode("utf-8", "strict" if whole else "ignore")
    except (NotPlainError, UnicodeDecodeError, OSError):
        return None
    # Not `splitlines`, which also ends lines at letters that no other tool does.
    if "\0" in text:
        return None
    return (text.removesuffix("\n").split("\n") if text else []), size - len(data)
