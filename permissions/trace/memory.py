"""The in-memory twin of the signed log, for tests and dry runs.

It refuses what the signed log refuses, and can be told to fail as a full disk would. It keeps
nothing: what it holds is gone with the process, and it proves nothing to anyone.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from permissions.errors import TraceError, TraceWriteError
from permissions.trace.encoder import EntryEncoder
from permissions.trace.entry import Receipt
from permissions.trace.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from permissions.trace.entry import TraceEntry
    from permissions.vocabulary import Barrier

_NOT_SECRET = bytes(32)


class MemoryTrace:
    """A `TraceLog` that remembers."""

    def __init__(self, *, clock: Callable[[], int] = lambda: 0) -> None:
        self.entries: list[TraceEntry] = []
        """What was recorded, in order."""
        self.barriers: list[Barrier] = []
        """What the append of each of them had to wait for."""
        self._encoder = EntryEncoder(origin="memory", vault=Vault(_NOT_SECRET), clock=clock)
        self._failure: str | None = None

    def seal_ahead(self, entries: Sequence[TraceEntry]) -> None:
        """Seals contents before they are appended (see `entry.TraceLog`)."""
        if self._failure is None:
            with suppress(TraceError):
                for entry in entries:
                    self._encoder.seal_ahead(entry)

    async def append(self, entries: Sequence[TraceEntry], *, barrier: Barrier) -> Receipt:
        """Appends entries together, in order (see `entry.TraceLog`).

        Raises:
            TraceWriteError: an entry lies outside the format, or `fail` was called.
        """
        if self._failure is not None:
            raise TraceWriteError(self._failure)
        if not entries:
            raise TraceWriteError("an append without entries records nothing")
        first = len(self.entries)
        try:
            for offset, entry in enumerate(entries):
                self._encoder.encode(entry, first + offset)
        except TraceError as err:
            raise TraceWriteError(f"an entry cannot be recorded: {err}") from err
        self.entries.extend(
            replace(each, body={**each.body, **self._encoder.tags(each)}) for each in entries
        )
        self.barriers.extend([barrier] * len(entries))
        return Receipt(first, len(entries))

    def fail(self, reason: str) -> None:
        """From now on nothing is admitted, as after a failed write."""
        self._failure = reason
