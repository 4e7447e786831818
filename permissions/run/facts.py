"""What trusted reads of a run told, kept for policies that need to know it.

Bounded: the oldest facts go when there is no room for new ones, and a record that is too large
is none. A fact is `stale` from the moment that a call with an effect named its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from permissions.run.leaves import leaves

if TYPE_CHECKING:
    from collections.abc import Iterable

    from permissions.tools.fact_kinds import FactKind
    from permissions.vocabulary import JsonObject, JsonValue

MAX_FACTS: Final = 200
MAX_RECORD: Final = 16_384
"""Bytes of one record as JSON."""
MAX_BYTES: Final = 262_144
"""Bytes of all of them: each decision is asked with them, and recorded."""


class Facts:
    """The facts of one run. Not for use from several threads at once."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str], JsonObject] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    def learn(
        self,
        kinds: Iterable[FactKind],
        result: JsonValue,
        *,
        call: str,
        entry: int | None,
    ) -> None:
        """Takes up the records of a trusted read; a later one of the same key replaces.

        Args:
            kinds: which the tool declares.
            result: what it returned, as JSON.
            call: its id.
            entry: index of the trace's entry that holds the result.
        """
        for each in kinds:
            for key, record in each.found_in(result):
                size = len(orjson.dumps(record))
                name = (each.kind, key)
                self._forget(name)
                if size <= MAX_RECORD:
                    found = {"value": record, "call": call, "entry": entry, "stale": False}
                    self._facts[name], self._sizes[name] = found, size
        while len(self._facts) > MAX_FACTS or sum(self._sizes.values()) > MAX_BYTES:
            self._forget(next(iter(self._facts)))

    def note_effect(self, arguments: JsonObject) -> None:
        """Marks what a call with an effect named as stale."""
        if not self._facts:
            return
        named = {str(leaf.value) for leaf in leaves(arguments)}
        for (kind, key), fact in self._facts.items():
            if key in named:
                self._facts[kind, key] = {**fact, "stale": True}

    def document(self) -> JsonObject:
        """`context.facts` of the policies' input: by kind and key."""
        found: dict[str, JsonObject] = {}
        for (kind, key), fact in self._facts.items():
            found.setdefault(kind, {})[key] = fact
        return found

    def _forget(self, name: tuple[str, str]) -> None:
        self._facts.pop(name, None)
        self._sizes.pop(name, None)
