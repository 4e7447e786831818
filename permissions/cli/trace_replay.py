"""What `wardline trace replay` decides again, and with which decision points."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from permissions.errors import PolicyLoadError
from permissions.replay import Summary, recorded_decisions, replay
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.cli.trace_source import TraceSource
    from permissions.model import Digest, JsonObject
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.pdp.bundle import PolicyBundle
    from permissions.replay import RecordedDecision, Row

REPLAY_DEADLINE_SECONDS = 5.0


async def replayed(
    source: TraceSource, candidate: PolicyBundle | None
) -> tuple[Summary, list[JsonObject]]:
    """Replays under the candidate, or each recorded bundle; gives the rows to look at."""
    from permissions.pdp.bundle import load_revision
    from permissions.pdp.embedded.pdp import EmbeddedPdp
    from permissions.pdp.shadow_marks import enforced

    def decisions() -> Iterator[RecordedDecision]:
        return recorded_decisions(read_entries(source.trace), source.vault())

    async with AsyncExitStack() as stack:

        async def opened(bundle: PolicyBundle, *, linked: bool = True) -> PolicyDecisionPoint:
            pdp = EmbeddedPdp(
                enforced(bundle), hard_deadline=REPLAY_DEADLINE_SECONDS, spare=0, linked=linked
            )
            return await stack.enter_async_context(pdp)

        under: Callable[[RecordedDecision], PolicyDecisionPoint | None]
        if candidate is not None:
            one = await opened(candidate)
            under = lambda _: one  # noqa: E731 - a value that ignores its argument
        else:
            by_form: dict[tuple[str, bool], PolicyDecisionPoint] = {}
            forms = sorted({_form(each) for each in decisions()})
            for revision, linked in forms:
                try:
                    bundle = load_revision(source.bundles, _as_digest(revision))
                except PolicyLoadError:
                    continue  # its decisions are listed as not replayable
                by_form[revision, linked] = await opened(bundle, linked=linked)
            under = lambda each: by_form.get(_form(each))  # noqa: E731 - a short look-up
        summary, rows = Summary(), []
        async for row in replay(decisions(), under=under):
            summary.add(row)
            if row.problem or row.is_changed or (candidate is None and not row.identical):
                rows.append(_row_document(row))
        return summary, rows


def _form(decision: RecordedDecision) -> tuple[str, bool]:
    """The bundle a decision was made under, and whether as this linker composes it."""
    from permissions.pdp.linker.linked import was_linked

    return decision.revision, was_linked(decision.engine)


def _row_document(row: Row) -> JsonObject:
    return {
        "index": row.index,
        "run": row.run,
        "call": row.call,
        "tool": row.tool,
        "action": row.action,
        "before": row.before,
        "after": row.after,
        "reasons_before": list(row.reasons_before),
        "reasons_after": list(row.reasons_after),
        "identical": row.identical,
        "conditional": row.conditional,
        "terms": row.terms,
        "terms_changed": list(row.terms_changed),
        "problem": row.problem,
    }


def _as_digest(revision: str) -> Digest:
    from permissions.model import Digest

    return Digest(revision)
