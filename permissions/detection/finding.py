"""What a detector says: which kind of thing it found, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject


class Found(NamedTuple):
    """Characters of a text (`start` to `end`, counted from 0), and what they are.

    `value` is what they say: without the signs that hide it, decoded where they were encoded.
    """

    kind: str
    start: int
    end: int
    value: str


class Finding(NamedTuple):
    """Something found in a JSON document: which leaf, and what there."""

    detector: str
    kind: str
    pointer: str
    start: int
    end: int
    value: str
    raw: str
    """The very characters, as they have to be replaced."""

    def document(self) -> JsonObject:
        """As policies and the record see it: never the value."""
        where = {"pointer": self.pointer, "start": self.start, "end": self.end}
        return {"kind": self.kind, **where}


Find: TypeAlias = Callable[[str], Iterable[tuple[str, int, int]]]
"""A classifier of one's own: gives kind, start and end of each thing it finds in a text."""
