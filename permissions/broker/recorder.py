"""Notes what happens, entry by entry, and records it: shielded, in order, under one deadline.

Every entry that the broker writes goes through a `Recorder`: one for each attempt at a call,
one for what a session itself has to say. Nobody who gives up meanwhile tears a record apart,
and a trace that hangs is a trace that failed.

Not protected from: a trace that takes what it was given after the deadline. Such an entry may
stand in the record although its caller was told that it could not be recorded.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from permissions.broker.inspection import Seen
from permissions.errors import TraceWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.broker.inspection import Inspection
    from permissions.run.found_values import FoundValues
    from permissions.trace.entry import TraceEntry, TraceLog
    from permissions.vocabulary import Barrier

RECORDING_SECONDS = 8.0
"""How long one record may take. A sandbox waits 10 s for the answer about a connection, which
has to be on record by then."""


class Recorder:
    """The entries of one attempt or one session that are noted and not yet recorded."""

    def __init__(self, trace: TraceLog, inspection: Inspection, values: FoundValues) -> None:
        """`inspection` says what must not be kept as it is, `values` are the run's."""
        self._trace = trace
        self._inspection = inspection
        self._values = values
        self._noted: list[TraceEntry] = []
        self.seen = Seen()
        """What was looked through already, and what is replaced."""

    def note(self, *entries: TraceEntry) -> None:
        """Keeps entries for the next `flush`."""
        self._noted += entries

    def seal_ahead(self, coming: TraceEntry) -> None:
        """Seals what is noted, and what is known of an entry to come, while a caller waits.

        A value that is found later is replaced all the same, and what held it sealed anew.
        """
        self._trace.seal_ahead([*self._noted, coming])

    async def flush(self, barrier: Barrier) -> int:
        """Records what is noted; gives the index of the last entry.

        Raises:
            TraceError: it cannot be recorded, or the trace gave no answer in time. What the
                trace refused stays noted for the next record, except that a call was about to
                start: it does not.
        """
        with recording():
            return await self.flush_within(barrier)

    async def flush_within(self, barrier: Barrier) -> int:
        """`flush`, for whoever is `recording` already: what belongs together is shielded once."""
        entries, self._noted = self._noted, []
        try:
            kept = await self._inspection.recordable(entries, self._values, self.seen)
            receipt = await self._trace.append(kept, barrier=barrier)
        except Exception:
            refused = [entry for entry in entries if entry.type != "start"]
            self._noted = refused + self._noted
            raise
        return receipt.first + receipt.count - 1


@contextmanager
def recording() -> Iterator[None]:
    """Shields what is kept of a call from whoever gives up, for `RECORDING_SECONDS` at most.

    Raises:
        TraceWriteError: it took longer.
    """
    with anyio.move_on_after(RECORDING_SECONDS, shield=True) as scope:
        yield
    if scope.cancelled_caught:
        raise TraceWriteError(f"the trace gave no answer in {RECORDING_SECONDS:g} s")
