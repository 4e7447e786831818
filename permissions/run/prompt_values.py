"""What a text of a person says: values as whole words, and numbers.

A piece of a longer value is not what was said: neither the 980.00 of 1,980.00 or 1 980.00,
nor a group of an account number written in fours. Where it cannot be told, it is a piece, so
two numbers beside each other (4711 2026) may count as one that was not given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_OCCURRENCES: Final = 200
"""Occurrences in a text looked at for one value."""

_OPENERS = " \t\r\n\"'`“”\u2018\u2019«»([{<,;:=|#$€£¥"
_CLOSERS = " \t\r\n\"'`“”\u2018\u2019«»)]}>,;|€%"
_STOPS = ".:!?"
_JOINTS = ",'`\u2019:"
"""Between two digits these hold a number together: 1,980.00 or 1'980 or 10:30."""
_SPACES = " \t\u00a0\u2009\u202f"
_GROUP: Final = 4
"""Characters of a group of an account number as people write it (ISO 13616)."""
_WINDOW: Final = 32
"""Characters beside a value that are looked at; longer words are no groups."""

_NUMBER = re.compile(
    r"(?<![\w.,/@-])-?[0-9]{1,18}(?:,[0-9]{3})*(?:\.[0-9]{1,12})?(?![\w/@-]|[.,][0-9])"
)
_HUNDREDS = re.compile(r"[0-9]{1,3}", re.ASCII)
_THOUSANDS = re.compile(r"[0-9]{3}(?:[.,][0-9]{1,12})?", re.ASCII)
_FIRST_WORD = re.compile(r"\S+")
_LAST_WORD = re.compile(r"\S+\Z")


def spoken_numbers(text: str) -> Iterator[str]:
    """Each number of a text, without separators of thousands."""
    for match in _NUMBER.finditer(text):
        if not _is_piece(text, match.start(), match.end()):
            yield match[0].replace(",", "")


def is_said(value: str, text: str) -> bool:
    """Whether a text holds a value as whole words."""
    start = text.find(value)
    for _ in range(MAX_OCCURRENCES):
        if start < 0:
            break
        end = start + len(value)
        if _opens(text, start) and _closes(text, end) and not _is_piece(text, start, end):
            return True
        start = text.find(value, start + 1)
    return False


def _opens(text: str, start: int) -> bool:
    if start > 0 and text[start - 1] == "@":  # @bob, not what follows it in an address
        start -= 1
    return start == 0 or text[start - 1] in _OPENERS


def _closes(text: str, end: int) -> bool:
    if end == len(text) or text[end] in _CLOSERS:
        return True
    return text[end] in _STOPS and (end + 1 == len(text) or text[end + 1] in _CLOSERS)


def _is_piece(text: str, start: int, end: int) -> bool:
    value = text[start:end]
    return _goes_on(text[max(0, start - _WINDOW) : start], value) or _goes_on(
        value, text[end : end + _WINDOW]
    )


def _goes_on(left: str, right: str) -> bool:
    """Whether a number or an account runs across the point where two texts meet."""
    if left[-1:] and left[-1] in _JOINTS + _SPACES:
        sign, left = left[-1], left[:-1]
    elif right[:1] and right[0] in _JOINTS + _SPACES:
        sign, right = right[0], right[1:]
    else:
        return False
    if sign in _JOINTS:
        return left[-1:].isdigit() and right[:1].isdigit()
    last, first = _LAST_WORD.search(left), _FIRST_WORD.match(right)
    if last is None or first is None:
        return False
    return _read_as_one(last[0].lstrip(_OPENERS + "-"), first[0].rstrip(_CLOSERS + _STOPS))


def _read_as_one(left: str, right: str) -> bool:
    """Whether two words read as one number, or as groups of an account."""
    if _HUNDREDS.fullmatch(left) and _THOUSANDS.fullmatch(right):
        return True
    return (
        len(left) == _GROUP
        and 1 <= len(right) <= _GROUP
        and (left + right).isalnum()
        and any(char.isdigit() for char in left)
        and any(char.isdigit() for char in right)
    )
