"""Which records of a trusted read become facts that policies may reason with.

    @tool(effect="read", output="trusted", facts=["reservation by reservation_id"])

says that what the tool returns, a record or a list of them, is a `reservation`, known by its
member `reservation_id`. Policies find it as `context.facts.reservation["ZFA04Y"].value`.

It does not protect from a service that is wrong, nor from what changed since it was read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import ToolDefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.vocabulary import JsonObject, JsonValue

_SPELLING = re.compile(r"([a-z][a-z0-9_]{0,39}) by ([A-Za-z_][A-Za-z0-9_-]{0,79})")


class FactKind(NamedTuple):
    """A kind of record, and the member it is known by."""

    kind: str
    key: str

    def __str__(self) -> str:
        """As it is declared."""
        return f"{self.kind} by {self.key}"

    def found_in(self, result: JsonValue) -> Iterator[tuple[str, JsonObject]]:
        """The records in a result, each with its key; those without one are left out."""
        for record in result if isinstance(result, list) else [result]:
            if not isinstance(record, dict):
                continue
            key = record.get(self.key)
            if isinstance(key, str | int) and not isinstance(key, bool) and key != "":
                yield str(key), record


def fact_kinds(spellings: Iterable[str]) -> tuple[FactKind, ...]:
    """The declared kinds.

    Raises:
        ToolDefinitionError: one is not spelled as `reservation by reservation_id`.
    """
    found = []
    for each in spellings:
        spelling = _SPELLING.fullmatch(each)
        if spelling is None:
            raise ToolDefinitionError(
                f"facts: {each[:80]!r} is no kind of record with its key, as in"
                " 'reservation by reservation_id'"
            )
        found.append(FactKind(*spelling.groups()))
    return tuple(sorted(set(found)))
