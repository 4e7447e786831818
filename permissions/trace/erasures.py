"""What of a log was erased, and whether an entry says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.trace.report import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.trace.decoded import DecodedEntry
    from permissions.trace.vault import VaultReader


class Erasures:
    """Contents whose key is gone, and entries that say which keys were destroyed."""

    def __init__(self) -> None:
        self._gone: dict[str, tuple[int, int, int]] = {}
        """By run: the first entry with such a content, the last, and how many there are."""
        self._said: dict[str, tuple[int, frozenset[str]]] = {}
        """By run: the last entry that says so, and the keys that were to go."""

    def take(self, entries: Iterable[DecodedEntry], gone: Iterable[tuple[int, str]]) -> None:
        """Takes in what stands under a checkpoint, and where and of which run a key is gone."""
        for entry in entries:
            if entry.type == "erase":
                self._said_by(entry)
        for index, run in gone:
            self._found(index, run)

    def _said_by(self, entry: DecodedEntry) -> None:
        keys = frozenset(map(str, entry.body.get("keys", ())))
        for run in map(str, entry.body.get("runs", ())):
            _, before = self._said.get(run, (0, frozenset()))
            self._said[run] = entry.index, before | keys

    def _found(self, index: int, run: str) -> None:
        first, _, count = self._gone.get(run, (index, index, 0))
        self._gone[run] = first, index, count + 1

    def lost(self) -> Iterator[Finding]:
        """Keys that are gone, and no later entry says so."""
        for run, (first, last, count) in self._gone.items():
            if last >= self._said.get(run, (-1, frozenset()))[0]:
                yield Finding(
                    first,
                    f"contents that cannot be opened: {count}; the key of run {run[:80]!r} is not"
                    " there, and no entry says that it was erased",
                )

    def findings(self, vault: VaultReader | None) -> Iterator[Finding]:
        """Keys that are gone and no later entry says so, and keys that should be."""
        yield from self.lost()
        if vault is None:
            return
        for run, (index, keys) in self._said.items():
            if vault.key_ids(run) & keys:
                yield Finding(
                    index,
                    f"the key of run {run[:80]!r} was to be erased, and is still there: erase it"
                    " again",
                )
