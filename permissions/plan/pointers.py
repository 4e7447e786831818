"""JSON pointers (RFC 6901): read, and followed into a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.vocabulary import JsonValue


def follow(value: JsonValue, tokens: Sequence[str]) -> tuple[bool, JsonValue]:
    """Evaluates a JSON pointer (RFC 6901 section 4); the first item says whether it exists."""
    for key in tokens:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _is_index(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return False, None
    return True, value


def tokens_of(pointer: str) -> tuple[str, ...]:
    """A pointer's reference tokens, unescaped."""
    parts = pointer.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) < 10 and (key == "0" or key[0] != "0")
