"""Puts a responder's questions to a log, by its index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import ConfigError, TraceError
from permissions.inquiry.blast import Blast
from permissions.inquiry.call_record import CallRecord
from permissions.inquiry.compare import compared
from permissions.inquiry.doubtful import doubtful, key_of
from permissions.inquiry.why import why
from permissions.trace.call_filter import CallFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.inquiry.contents import Contents
    from permissions.inquiry.doubtful import Doubtful
    from permissions.inquiry.find import ContentFilter
    from permissions.model import JsonObject
    from permissions.trace.index import TraceIndex

MAX_INDEX_DIGITS = 17


class Inquiry:
    """Questions to one log. Each reads it anew, so that a live log may grow meanwhile."""

    def __init__(self, index: TraceIndex, contents: Contents) -> None:
        self._index = index
        self._contents = contents

    def calls(self, wanted: CallFilter, *, newest_first: bool = False) -> Iterator[CallRecord]:
        """The calls that are looked for, by when they were asked for.

        Raises:
            TraceError: the log cannot be read.
            TraceIntegrityError: a line is malformed, or not what the index promised.
        """
        for entries in self._index.calls(wanted, newest_first=newest_first):
            yield CallRecord(entries, self._contents)

    def call(self, name: str) -> CallRecord:
        """One call; raises as `calls` does, and TraceError when nothing is recorded of it."""
        found = next(self.calls(CallFilter(call=name)), None)
        if found is None:
            raise TraceError(
                f"nothing is recorded of the call {name[:80]!r}; `wardline trace list` names them"
            )
        return found

    def doubtful(self, name: str) -> tuple[CallRecord, Doubtful]:
        """A call whose end nobody knows and a person may say; raises as `call` does.

        Raises:
            ConfigError: as `doubtful.doubtful`, or it was begun again since.
        """
        record = self.call(name)
        found = doubtful(record)
        for later in self.calls(
            CallFilter(run=record.run, tool=record.tool), newest_first=True
        ):
            if later.index <= record.index:
                break
            if later.start is not None and key_of(later) == found.key:
                raise ConfigError(
                    f"{record.call[:80]} was begun again since, as {later.call}; say what became"
                    " of that one"
                )
        return record, found

    def find(
        self,
        wanted: CallFilter,
        inside: ContentFilter,
        *,
        newest_first: bool = False,
        on_closed: Callable[[], None] = lambda: None,
    ) -> Iterator[CallRecord]:
        """Calls by what bodies and contents say; `on_closed` hears of each that stays closed."""
        for call in self.calls(wanted, newest_first=newest_first):
            fits = inside.fits(call)
            if fits is None:
                on_closed()
            elif fits:
                yield call

    def why(self, name: str) -> JsonObject:
        """Why a call ended as it did; raises as `call` does."""
        call = self.call(name)
        config = self._index.head("config", "", call.index)
        return why(
            call,
            started=self._index.head("run.start", call.run, call.index),
            in_force={} if config is None else config.body,
        )

    def blast(self, what: str) -> JsonObject:
        """What values reached that came from a call, an entry, or a file.

        Args:
            what: a call's id, the number of an entry, or a path as a call named it.

        Raises:
            TraceError: nothing is recorded of it.
        """
        seeds, entries = self._sources(what)
        if seeds:
            first = min(seeds, key=lambda each: each.index)
            names = frozenset((each.run, each.call) for each in seeds)
            blast = Blast(sources=names, entries=entries)
            self._run_through(blast, CallFilter(run=first.run))
            if blast.wrote_files:
                blast = Blast(sources=names, entries=entries)
                self._run_through(blast, CallFilter(since=first.time))
            return blast.document()
        blast = Blast(file=what)
        self._run_through(blast, CallFilter())
        if not blast.found_sources:
            raise TraceError(
                f"nothing is recorded of {what[:80]!r}: it is no call, no entry of one, and no"
                " path that a call names (as it was given, with links followed, or within the"
                " workspace)"
            )
        return blast.document()

    def compare(self, first: str, second: str) -> Iterator[JsonObject]:
        """Two runs, call by call.

        Raises:
            TraceError: one of them has no calls.
        """
        runs = [list(self.calls(CallFilter(run=name))) for name in (first, second)]
        for name, calls in zip((first, second), runs, strict=True):
            if not calls:
                raise TraceError(f"nothing is recorded of the run {name[:80]!r}")
        yield from compared(*runs)

    def _sources(self, what: str) -> tuple[list[CallRecord], frozenset[int]]:
        if what.isdecimal() and len(what) < MAX_INDEX_DIGITS:
            entry = self._index.entry(int(what))
            if entry is None or entry.call is None:
                raise TraceError(
                    f"entry {what} is not there, or belongs to no call; name an entry of a call"
                )
            wanted = CallFilter(run=entry.run, call=entry.call)
            outcome = frozenset({entry.index} if entry.type == "outcome" else ())
            return list(self.calls(wanted)), outcome
        return list(self.calls(CallFilter(call=what))), frozenset()

    def _run_through(self, blast: Blast, wanted: CallFilter) -> None:
        workspaces: dict[str, str | None] = {}
        for call in self.calls(wanted):
            if call.run not in workspaces:
                started = self._index.head("run.start", call.run, call.index)
                workspaces[call.run] = (
                    None if started is None else started.body.get("workspace")
                )
            blast.take(call, workspaces[call.run])
