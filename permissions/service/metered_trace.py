"""A trace whose entries are counted as they are recorded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from permissions.service.metrics import Metrics
    from permissions.trace.entry import Receipt, TraceEntry, TraceLog
    from permissions.vocabulary import Barrier


class MeteredTrace:
    """A `TraceLog` in front of another; nothing of what it records is changed.

    Args:
        log: records.
        durable: how many of its entries are on stable storage.
        metrics: counts.
    """

    def __init__(self, log: TraceLog, durable: Callable[[], int], metrics: Metrics) -> None:
        self._log = log
        self._durable = durable
        self._metrics = metrics
        self._size = durable()

    @property
    def unsynced(self) -> int:
        """Entries that were recorded through this and are not on stable storage."""
        return max(0, self._size - self._durable())

    def seal_ahead(self, entries: Sequence[TraceEntry]) -> None:
        """See `TraceLog`."""
        self._log.seal_ahead(entries)

    async def append(self, entries: Sequence[TraceEntry], *, barrier: Barrier) -> Receipt:
        """See `TraceLog`."""
        began = time.perf_counter()
        try:
            receipt = await self._log.append(entries, barrier=barrier)
        except Exception:
            self._metrics.failed(entries)
            raise
        self._size = max(self._size, receipt.first + receipt.count)
        self._metrics.recorded(entries, barrier, time.perf_counter() - began)
        return receipt
