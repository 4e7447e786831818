"""What happened, as the pages ask for it: from the log by its index. Blocking, so for threads."""

from __future__ import annotations

import time
from importlib.metadata import version
from itertools import islice
from typing import IO, TYPE_CHECKING

from permissions.authoring.shadow_report import shadow_report
from permissions.export.opened import Entries
from permissions.export.page import write_page
from permissions.inquiry.contents import Contents
from permissions.inquiry.questions import Inquiry
from permissions.inquiry.unusual import DAYS, Habits
from permissions.trace.call_filter import CallFilter
from permissions.trace.index import TraceIndex
from permissions.trace.key_lines import KEYS_FILE
from permissions.trace.store import segments
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.authoring.shadow_report import ShadowReport
    from permissions.inquiry.call_record import CallRecord
    from permissions.inquiry.doubtful import Doubtful
    from permissions.model import JsonObject
    from permissions.signing.keys import PublicKey
    from permissions.trace.index import RunSummary
    from permissions.trace.reader import RecordedEntry

HABIT_CALLS = 300
"""Earlier calls that a request is held against, at most; the newest ones."""
SHADOW_CALLS = 500
"""Newest calls that packages in the shadow are told of."""
_DAY = 24 * 60 * 60 * 1_000_000


class Record:
    """One log.

    Args:
        folder: of its segments.
        index: file of its index.
        kek: opens the keys of what it sealed.
        bundles: folder of the saved policies.
        key: whose signature the log must have.
    """

    def __init__(
        self,
        folder: Path,
        index: Path,
        kek: bytes,
        *,
        bundles: Path,
        key: PublicKey | None = None,
    ) -> None:
        self._folder = folder
        self._index = TraceIndex(folder, index)
        self._kek = kek
        self._bundles = bundles
        self._key = key
        self._opener: tuple[object, Contents] | None = None

    def size(self) -> int:
        """Grows with the log."""
        files = segments(self._folder)
        return 0 if not files else (len(files) << 40) + files[-1].stat().st_size

    def runs(self, *, before: int | None, limit: int) -> list[RunSummary]:
        """Runs, the one that began last first.

        Raises:
            TraceError: the log cannot be read.
        """
        return self._index.recent_runs(before=before, limit=limit)

    def run(self, name: str) -> RunSummary | None:
        """One run, or None when nothing is recorded of it; raises as `runs` does."""
        return self._index.run_summary(name)

    def calls(self, wanted: CallFilter, limit: int) -> list[CallRecord]:
        """The newest of the calls that are looked for; raises as `runs` does."""
        return list(islice(self._inquiry().calls(wanted, newest_first=True), limit))

    def doubtful(self, name: str) -> tuple[CallRecord, Doubtful]:
        """A call whose end nobody knows; raises as `Inquiry.doubtful` does."""
        return self._inquiry().doubtful(name)

    def why(self, call: str) -> JsonObject:
        """Why a call ended as it did; raises TraceError when nothing is recorded of it."""
        return self._inquiry().why(call)

    def habits(self, tool: str, before: int) -> Habits:
        """What calls of a tool did in the days before a moment; raises as `runs` does."""
        wanted = CallFilter(tool=tool, since=before - DAYS * _DAY, until=before)
        return Habits.of(islice(self._inquiry().calls(wanted, newest_first=True), HABIT_CALLS))

    def rules(self, since: int) -> list[tuple[str, str | None, int]]:
        """How often each rule spoke in calls that ended so; raises as `runs` does."""
        return self._index.rules(since)

    def days(self, since: int) -> list[tuple[int, str | None, bool, int]]:
        """Calls by day, end, and whether people answered; raises as `runs` does."""
        return self._index.days(since)

    def in_force(self) -> list[RecordedEntry]:
        """Which policies came into force when, the last first; raises as `runs` does."""
        return [*self._index.all_of("config")][::-1]

    def shadow(self) -> ShadowReport:
        """What packages in the shadow would have done to the newest calls; raises as `runs` does."""
        newest = self._index.calls(CallFilter(), newest_first=True)
        entries = [*self._index.all_of("config")]
        for call in islice(newest, SHADOW_CALLS):
            entries += call
        entries.sort(key=lambda each: each.index)
        return shadow_report(entries, VaultReader(self._folder, self._kek), self._bundles)

    def write_explorer(self, target: IO[bytes], run: str) -> None:
        """Writes the explorer's page of one run, with contents opened.

        Raises:
            ConfigError: nothing is recorded of the run.
            TraceError: the log cannot be read.
        """
        contents = VaultReader(self._folder, self._kek, run=run)
        report = verify_trace(self._folder, key=self._key, is_pinned=False, signatures="last")
        entries = Entries(self._entries(run), contents, runs=(run,))
        about = {
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "build": f"wardline {version('wardline')}",
            "key_source": "the key beside the log",
            "opened": True,
            "runs": [run],
        }
        write_page(target, entries, report, about=about)
        entries.require_runs()

    def _entries(self, run: str) -> Iterator[RecordedEntry]:
        """The log's own entries, and those of a run, in order."""
        both = [*self._index.all_of("config"), *self._index.run(run)]
        yield from sorted(both, key=lambda each: each.index)

    def _inquiry(self) -> Inquiry:
        """Opens what can be opened now: runs come and are erased."""
        try:
            kept = (self._folder / KEYS_FILE).stat()
            state = kept.st_ino, kept.st_size, kept.st_mtime_ns
        except OSError:
            state = None
        opener = self._opener
        if opener is None or opener[0] != state:
            opener = self._opener = state, Contents(VaultReader(self._folder, self._kek))
        return Inquiry(self._index, opener[1])
