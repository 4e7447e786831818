"""Recorded entries with those of their contents that may be opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from permissions.errors import ConfigError, TraceError, TraceIntegrityError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from permissions.trace.reader import RecordedEntry
    from permissions.trace.vault import VaultReader

NOT_ASKED = "sealed; it was not asked to be opened"


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An entry, its opened contents, and why each of the others is not opened."""

    recorded: RecordedEntry
    contents: Mapping[str, bytes]
    problems: Mapping[str, str]

    def json(self, name: str) -> Any:
        """A content as the JSON it holds, or None when it is not there or no JSON."""
        if (raw := self.contents.get(name)) is None:
            return None
        try:
            return orjson.loads(raw)
        except ValueError:
            return None


def opened(entry: RecordedEntry, vault: VaultReader | None) -> OpenedEntry:
    """Opens what the vault opens; without one nothing is."""
    contents: dict[str, bytes] = {}
    problems: dict[str, str] = {}
    for name in entry.digests:
        if vault is None:
            problems[name] = NOT_ASKED if name in entry.sealed else "not in this copy"
            continue
        try:
            contents[name] = entry.open(name, vault)
        except TraceError as err:
            problems[name] = str(err)
    return OpenedEntry(entry, contents, problems)


class Entries:
    """The entries of a log as far as they can be read; `broken` says why not further."""

    def __init__(
        self,
        entries: Iterator[RecordedEntry],
        vault: VaultReader | None,
        *,
        runs: Collection[str] = (),
    ) -> None:
        """`runs` leaves out what belongs to other runs; what belongs to none stays."""
        self._entries = entries
        self._vault = vault
        self.runs = frozenset(runs)
        self._missing = set(runs)
        self.broken: str | None = None

    def __iter__(self) -> Iterator[OpenedEntry]:
        """Gives each entry once."""
        try:
            for entry in self._entries:
                if not self.runs or entry.run is None or entry.run in self.runs:
                    self._missing.discard(entry.run or "")
                    yield opened(entry, self._vault)
        except TraceIntegrityError as err:
            self.broken = str(err)

    @property
    def are_opened(self) -> bool:
        """Whether contents are opened."""
        return self._vault is not None

    def require_runs(self) -> None:
        """Says, after the last entry, which of the runs had none.

        Raises:
            ConfigError: one had none.
        """
        if self._missing:
            raise ConfigError(f"no entry of run {min(self._missing)[:80]!r} is recorded")
