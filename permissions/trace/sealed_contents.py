"""The sealed contents of a log that is verified: opened where that can be, and compared.

Each has to be one that its entry names by digest. With the vault's key it has to open, and to
say what the body of its entry says of it (`restated`). What is found counts once a checkpoint
vouches for its entry.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.content_kinds import kind_of
from permissions.trace.encoder import content_path
from permissions.trace.entry import TERMINAL
from permissions.trace.erasures import Erasures, Gone
from permissions.trace.report import Contents, Finding
from permissions.trace.restated import RESTATED_SEALED, CallFacts, Opened, unnamed
from permissions.trace.rules import CALL_TYPES
from permissions.trace.vault import (
    SealedToRespondersError,
    VaultKeyError,
    line_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.trace.archived import Archived
    from permissions.trace.decoded import DecodedEntry
    from permissions.trace.vault import VaultReader


class SealedContents:
    """Contents of the entries that are read one after the other.

    Args:
        vault: opens them; without one they are counted.
    """

    def __init__(self, vault: VaultReader | None) -> None:
        self._vault = vault
        self.archived: Archived | None = None
        """What was moved away, and is not read."""
        self._expected: dict[str, str] = {}
        """What the entry at hand names and has not been taken in, by digest."""
        self.found: list[tuple[int, str]] = []
        """What entries since the last checkpoint say otherwise than their contents."""
        self.erased = Erasures()
        self._opened: dict[str, bytes] = {}
        self._facts: dict[tuple[str | None, str | None], CallFacts] = {}
        """What was opened of each call that has not ended."""
        self._counts: Counter[str] = Counter()
        self._batch_counts: Counter[str] = Counter()
        self._batch_sealed = 0
        self._unopened: dict[str, tuple[int, int]] = {}
        """Why contents do not open: the first entry with one, and how many there are."""
        self._batch_unopened: list[tuple[int, str]] = []
        self._batch_erased: list[Gone] = []

    def expect(self, contents: dict[str, str]) -> None:
        """Takes in what the next entry names: its contents, each by its digest."""
        self._expected = dict(zip(contents.values(), contents, strict=True))
        if self._vault is None:
            self._batch_sealed += len(self._expected)

    def take(self, data: bytes, entry: DecodedEntry, *, origin: str, index: int) -> str | None:
        """Takes in the next content; says what is wrong when its writer or its vault is at fault.

        Raises:
            TraceIntegrityError: it is none that the entry names.
        """
        name = self._expected.pop(line_digest(data), None)
        if name is None:
            raise TraceIntegrityError("a sealed content is not one its entry names")
        if self._vault is None:
            return None  # counted as its entry names it
        run = entry.run or ""
        try:
            self._opened[name] = self._vault.open(
                data, origin=origin, run=run, path=content_path(entry.type, name)
            )
        except SealedToRespondersError:
            self._batch_counts["sealed"] += 1
        except VaultKeyError as err:
            self._batch_counts["locked"] += 1
            self._batch_unopened.append((index, str(err)))
        except TraceIntegrityError as err:
            return str(err)  # the entry vouches for these very bytes
        except TraceError:
            self._batch_counts["erased"] += 1
            self._batch_erased.append(Gone(index, run, kind_of(name)))
        else:
            self._batch_counts["checked"] += 1
        return None

    def close(self, entry: DecodedEntry) -> None:
        """There are no more contents of this entry."""
        if self._expected:
            self._leave_out()
        kind = entry.type
        if self._vault is None and kind in RESTATED_SEALED:  # most entries without a key
            if said := unnamed(kind, entry.body, entry.contents):
                self.found += ((entry.index, text) for text in said)
        elif kind in RESTATED_SEALED and not self._opened:
            self._compare_sealed(kind, entry)
        elif self._opened or kind == "plan" or kind in CALL_TYPES:
            opened, self._opened = self._opened, {}
            self._compare(entry, opened)

    def _leave_out(self) -> None:
        absent = len(self._expected)
        self._batch_counts["absent"] += absent
        if self._vault is None:
            self._batch_sealed -= absent
        self._expected.clear()

    def settle(self, batch: Sequence[DecodedEntry]) -> None:
        """A checkpoint vouches for these entries."""
        self.erased.take(batch, self._batch_erased)
        self._batch_erased.clear()
        self._counts["sealed"] += self._batch_sealed
        self._batch_sealed = 0
        if self._batch_counts:
            self._counts.update(self._batch_counts)
            self._batch_counts.clear()
        for index, reason in self._batch_unopened:
            first, count = self._unopened.get(reason, (index, 0))
            self._unopened[reason] = first, count + 1
        self._batch_unopened.clear()

    def counted(self) -> Contents:
        """What became of all of them."""
        return Contents(**{each.name: self._counts[each.name] for each in fields(Contents)})

    def unopened(self, at_most: int) -> Iterator[Finding]:
        """Why some do not open, a finding for each reason."""
        for reason, (index, count) in islice(self._unopened.items(), at_most):
            yield Finding(index, f"contents that cannot be opened: {count}; {reason}")

    @property
    def reasons(self) -> int:
        """How many reasons there are for which contents do not open."""
        return len(self._unopened)

    def of_keys(self) -> Iterator[Finding]:
        """What is wrong with erasures, by the keys that are there."""
        return iter(self.erased.findings(self._vault))

    def _compare(self, entry: DecodedEntry, opened: dict[str, bytes]) -> None:
        called = entry.run, entry.call
        if self._is_unseen(called, entry.type):
            return
        facts = self._facts.setdefault(called, CallFacts())
        said = Opened(
            entry.type,
            entry.body,
            frozenset(entry.contents),
            opened,
            lambda name, data: self._tags(entry.run or "", name, data),
        )
        self.found += ((entry.index, text) for text in facts.contradictions(said))
        if entry.type in TERMINAL or entry.type == "plan":
            del self._facts[called]

    def _is_unseen(self, called: tuple[str | None, str | None], kind: str) -> bool:
        """Whether a call began in the archived part, and what it has to agree with lies there."""
        begins = kind in ("intent", "plan")
        return self.archived is not None and not begins and called not in self._facts

    def _compare_sealed(self, kind: str, entry: DecodedEntry) -> None:
        """The same for an entry of which nothing was opened."""
        called = entry.run, entry.call
        if kind in TERMINAL:
            self._facts.pop(called, None)
            return
        if self.archived is not None and self._is_unseen(called, kind):
            return
        if (facts := self._facts.get(called)) is None:
            facts = self._facts[called] = CallFacts()
        for text in facts.sealed(kind, entry.body, entry.contents):
            self.found.append((entry.index, text))

    def _tags(self, run: str, name: str, data: bytes) -> list[str]:
        return [] if self._vault is None else self._vault.tags(run, name, data)
