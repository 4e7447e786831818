"""The decisions of one run made again: what each process of a replay does."""

from __future__ import annotations

import heapq
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import PolicyLoadError
from permissions.model import Digest
from permissions.pdp.bundle import PolicyBundle, load_revision
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.linker.linked import was_linked
from permissions.pdp.shadow_marks import enforced
from permissions.replay.again import AT_ONCE, replay
from permissions.replay.recorded import recorded_decisions
from permissions.replay.rows import Summary
from permissions.trace.index import TraceIndex
from permissions.trace.vault import VaultReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from permissions.model import JsonObject
    from permissions.replay.recorded import RecordedDecision
    from permissions.replay.rows import Row
    from permissions.trace.index import Reading
    from permissions.trace.reader import RecordedEntry

DEADLINE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ReplaySetup:
    """What is replayed, and under what.

    Attributes:
        trace: folder of the log.
        index: its index, or None for one in memory.
        kek: the vault's key, or None when it is not at hand.
        bundles: where recorded bundles are kept.
        under: revision of the bundle to decide under, or `recorded` for each recorded one.
        candidate: modules and data of that bundle, which go from process to process.
    """

    trace: Path
    index: Path | None
    kek: bytes | None
    bundles: Path
    under: str = "recorded"
    candidate: tuple[dict[str, str], JsonObject] | None = None


@dataclass(frozen=True, slots=True)
class RunReplayed:
    """What the replay of one run came to."""

    run: str
    last: int
    """The number of its last entry."""
    summary: Summary
    rows: list[JsonObject]
    """Those that somebody has to look at."""


class RunReplayer:
    """Replays run by run, with decision points that stay open meanwhile."""

    def __init__(self, setup: ReplaySetup) -> None:
        self._setup = setup
        self._reading: Reading | None = None
        self._vault = None if setup.kek is None else VaultReader(setup.trace, setup.kek)
        self._configs: list[RecordedEntry] = []
        self._points: dict[tuple[str, bool], EmbeddedPdp | None] = {}
        self._candidate: EmbeddedPdp | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens what every run needs.

        Raises:
            PolicyLoadError: the candidate must not be used.
            PdpUnavailableError: its decision point does not start.
            TraceError: the log cannot be read.
        """
        setup = self._setup
        try:
            index = TraceIndex(setup.trace, setup.index)
            self._reading = self._stack.enter_context(index.reading())
            self._configs = list(self._reading.all_of("config"))
            if setup.candidate is not None:
                bundle = PolicyBundle.of(*setup.candidate)
                self._candidate = await self._opened(bundle, linked=True)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes every decision point."""
        await self._stack.aclose()

    async def run(self, run: str, last: int) -> RunReplayed:
        """Replays a run up to an entry.

        Raises:
            TraceError: the log cannot be read.
        """
        if self._candidate is None:
            for form in sorted({_form(each) for each in self._decisions(run, last, None)}):
                await self._open(form)
        summary, rows = Summary(), []
        decisions = self._decisions(run, last, self._vault)
        async for row in replay(decisions, under=self._under):
            summary.add(row)
            if self._is_told(row):
                rows.append(row.document())
        return RunReplayed(run, last, summary, rows)

    def _is_told(self, row: Row) -> bool:
        differs = self._candidate is None and not row.identical
        return bool(row.problem) or row.is_changed or differs

    def _under(self, decision: RecordedDecision) -> EmbeddedPdp | None:
        return self._candidate or self._points.get(_form(decision))

    def _decisions(
        self, run: str, last: int, vault: VaultReader | None
    ) -> Iterator[RecordedDecision]:
        assert self._reading is not None  # noqa: S101 - entered
        entries = heapq.merge(
            self._configs, self._reading.run(run), key=lambda each: each.index
        )
        known = (each for each in entries if each.index <= last)
        candidate = self._candidate  # what was recorded for its own policies has what they read
        reads = candidate is not None and candidate.reads_history
        return recorded_decisions(known, vault, with_history=reads)

    async def _open(self, form: tuple[str, bool]) -> None:
        if form in self._points:
            return
        revision, linked = form
        try:
            bundle = load_revision(self._setup.bundles, Digest(revision))
        except PolicyLoadError:
            self._points[form] = None  # its decisions are listed as not replayable
        else:
            self._points[form] = await self._opened(bundle, linked=linked)

    async def _opened(self, bundle: PolicyBundle, *, linked: bool) -> EmbeddedPdp:
        pdp = EmbeddedPdp(
            enforced(bundle),
            hard_deadline=DEADLINE_SECONDS,
            spare=0,
            linked=linked,
            answers_together=AT_ONCE,
        )
        return await self._stack.enter_async_context(pdp)


def _form(decision: RecordedDecision) -> tuple[str, bool]:
    """The bundle a decision was made under, and whether as this linker composes it."""
    return decision.revision, was_linked(decision.engine)
