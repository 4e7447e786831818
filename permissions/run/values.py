"""Which leaves of arguments and outputs can be met again, and the words of a text that can."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from permissions.run.echoes import MIN_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonValue

_WORD = re.compile(r"[^\s\"'`<>()\[\]{},;|]{3,200}")
_VALUE_LIKE = re.compile(r"[0-9@/._:-]")


def is_value(leaf: JsonValue) -> bool:
    """Whether it can be met again as a value: a text or a number, of any length."""
    kind = type(leaf)
    return (kind is str and bool(leaf)) or kind is int or kind is float


def is_traceable(leaf: JsonValue) -> bool:
    """Whether it is long enough to prove something wherever it is met."""
    kind = type(leaf)
    if kind is str:
        return len(leaf) >= MIN_LENGTH
    return (kind is int or kind is float) and _digits(leaf) >= MIN_LENGTH


def _digits(number: float) -> int:
    if type(number) is float and number.is_integer():
        number = int(number)
    return len(repr(abs(number)))


def size_of(value: str | float) -> int:
    """Characters it is counted with."""
    return len(value) if isinstance(value, str) else 8


def value_words(leaf: str | float) -> Iterator[tuple[str, tuple[int, int]]]:
    """Words of a text that look like addresses, ids, paths or amounts, and where they stand."""
    if isinstance(leaf, str):
        for match in _WORD.finditer(leaf):
            word = match[0].rstrip(".:!?")
            if len(word) >= MIN_LENGTH and word != leaf and _VALUE_LIKE.search(word):
                yield word, (match.start(), match.start() + len(word))
