"""Unified diffs of small text files, for the person who is asked about a change set.

What is shown was chosen by the run: control characters are made visible, so that no text can
move a terminal's cursor, and every size is bounded before anything is compared.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sandbox.workspace.at import NotPlainError, opened, pieces

if TYPE_CHECKING:
    from sandbox.workspace.model import Base

FILE_BYTES = 64 * 1024
LINES = 1500
"""Comparing costs as the product of both sides' lines."""


class Diffs:
    """Collects diffs until their bytes are used up.

    Attributes:
        found: text by path. A file that is missing here is binary, large, or came too late.
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
        before = [] if folder is None or base is None else _lines(folder, name, base.size)
        if after is None or before is None or after == before:
            return
        if len(after) > LINES or len(before) > LINES:
            return
        named = "/dev/null" if base is None else f"a/{path}"
        lines = difflib.unified_diff(before, after, named, f"b/{path}", lineterm="")
        text = "\n".join(visible(line) for line in lines)
        size = len(text.encode())
        if size <= self._room:
            self._room -= size
            self.found[path] = text


def visible(line: str) -> str:
    """A line with everything escaped that is not printed as itself."""
    return "".join(
        letter if letter.isprintable() or letter == "\t" else ascii(letter)[1:-1]
        for letter in line
    )


def _lines(folder: int, name: str, size: int) -> list[str] | None:
    """None when it is large, or no text."""
    if size > FILE_BYTES:
        return None
    try:
        with opened(folder, name, size) as source:
            data = b"".join(pieces(source, size))
        text = data.decode()
    except (NotPlainError, UnicodeDecodeError, OSError):
        return None
    # Not `splitlines`, which also ends lines at letters that no other tool does.
    return None if "\0" in text else text.removesuffix("\n").split("\n") if text else []
