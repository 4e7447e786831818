"""OPA's `semver.*`."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = r"(0|[1-9][0-9]{0,18})"
_LARGEST = 2**63 - 1
_VERSION = re.compile(
    rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


def compare(one: str, other: str) -> int:
    """`semver.compare`: -1, 0 or 1.

    Raises:
        ValueError: one of them is no version.
    """
    (first, first_pre), (second, second_pre) = _parsed(one), _parsed(other)
    if first != second:
        return 1 if first > second else -1
    if first_pre == second_pre:
        return 0
    if not first_pre or not second_pre:
        return 1 if not first_pre else -1
    for mine, theirs in zip_longest(first_pre.split("."), second_pre.split(".")):
        if mine == theirs:
            continue
        if mine is None or theirs is None:
            return -1 if mine is None else 1
        return 1 if _order(mine) > _order(theirs) else -1
    return 0


def _order(identifier: str) -> tuple[bool, int, str]:
    """Numbers before words, each in its own order."""
    if identifier.isdigit():
        if int(identifier) > _LARGEST:
            raise ValueError("a number this long is not agreed on")
        return False, int(identifier), ""
    return True, 0, identifier


def is_valid(text: Any) -> bool:
    """`semver.is_valid`."""
    try:
        _parsed(text)
    except (ValueError, TypeError):
        return False
    return True


def _parsed(text: str) -> tuple[tuple[int, ...], str]:
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError("no version")
    *numbers, before = found.groups()
    for identifier in (before or "").split("."):
        if identifier.isdigit() and identifier != "0" and identifier.startswith("0"):
            raise ValueError("no version")
    parts = tuple(map(int, numbers))
    if max(parts) > _LARGEST:
        raise ValueError("no version")
    return parts, before or ""


VERSIONS: Mapping[str, tuple[int, Any]] = {
    "semver.compare": (2, compare),
    "semver.is_valid": (1, is_valid),
}
"""Arity and function per builtin."""
