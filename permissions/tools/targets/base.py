"""What every target is, and the text that any of them may be written in."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue


class TargetError(ValueError):
    """The value cannot be what its mark says. The message never holds the value."""


class Target(Protocol):
    """A mark on an argument."""

    @property
    def kind(self) -> str:
        """The word policies match on."""
        ...

    @property
    def control(self) -> bool:
        """Whether the argument decides where effects go (rather than what they say)."""
        ...

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:
        """The target's document, without `kind` and `argument`.

        Args:
            value: as the caller gave it.
            workspace: absolute and without links, as a session holds it. Once a link is put
                in its place, everything in it lies outside.

        Raises:
            TargetError: the value cannot be parsed without doubt.
        """
        ...

    def spelling(self) -> JsonObject:
        """The mark as JSON, part of the tool's digest."""
        ...


def plain_text(
    value: JsonValue, what: str, limit: int, *, lines: bool = False, empty: bool = False
) -> str:
    """A text without characters that have no shape; with `lines` it may have several lines."""
    if not isinstance(value, str) or not (value or empty):
        raise TargetError(f"is not {what}")
    if len(value) > limit:
        raise TargetError(f"is longer than {limit} characters")
    if value.isascii() and value.isprintable():
        return value
    if any(
        unicodedata.category(char) in {"Cc", "Cf", "Cs"} and not (lines and char in "\n\t")
        for char in value
    ):
        raise TargetError("holds control, invisible or broken characters")
    return value
