"""What of a log was erased, and whether an entry says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.trace.key_lines import kinds_hold
from permissions.trace.report import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.trace.decoded import DecodedEntry
    from permissions.trace.vault import VaultReader


class Gone(NamedTuple):
    """A content that does not open since its key is gone, by the entry that names it."""

    at: int
    run: str
    kind: str


class _Said(NamedTuple):
    """An entry that says what of a run is erased."""

    at: int
    kinds: frozenset[str]
    """All, when it names none."""
    keys: frozenset[str]


class Erasures:
    """Contents whose key is gone, and entries that say which keys were destroyed."""

    def __init__(self) -> None:
        self._gone: dict[str, dict[str, tuple[int, int, int]]] = {}
        """By run and kind: the first entry with such a content, the last, and how many."""
        self._said: dict[str, list[_Said]] = {}
        """By run, in the order of the log."""

    def take(self, entries: Iterable[DecodedEntry], gone: Iterable[Gone]) -> None:
        """Takes in what stands under a checkpoint, and the contents whose key is gone."""
        for entry in entries:
            if entry.type == "erase":
                self._said_by(entry)
        for at, run, kind in gone:
            of_run = self._gone.setdefault(run, {})
            first, _, count = of_run.get(kind, (at, at, 0))
            of_run[kind] = first, at, count + 1

    def _said_by(self, entry: DecodedEntry) -> None:
        body = entry.body
        kinds, keys = (frozenset(map(str, body.get(name, ()))) for name in ("kinds", "keys"))
        for run in map(str, body.get("runs", ())):
            self._said.setdefault(run, []).append(_Said(entry.index, kinds, keys))

    def lost(self) -> Iterator[Finding]:
        """Keys that are gone, and no later entry says so of that kind."""
        for run, kinds in self._gone.items():
            lost = {
                kind: (first, count)
                for kind, (first, last, count) in kinds.items()
                if not any(
                    last < said.at and kinds_hold(said.kinds, kind)
                    for said in self._said.get(run, ())
                )
            }
            if lost:
                yield Finding(
                    min(first for first, _ in lost.values()),
                    f"contents that cannot be opened: {sum(count for _, count in lost.values())};"
                    f" the key of run {run[:80]!r} for {', '.join(sorted(lost))} is not there, and"
                    " no entry says that it was erased",
                )

    def findings(self, vault: VaultReader | None) -> Iterator[Finding]:
        """Keys that are gone and no later entry says so, and keys that should be."""
        yield from self.lost()
        if vault is None:
            return
        for run, entries in self._said.items():
            there = vault.key_ids(run)
            left = [said.at for said in entries if said.keys & there]
            if left:
                yield Finding(
                    left[-1],
                    f"the key of run {run[:80]!r} was to be erased, and is still there: erase it"
                    " again",
                )
