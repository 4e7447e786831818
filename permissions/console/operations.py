"""How it goes: days of calls and answers, evaluations, drills, and what the gate said."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio.to_thread

from permissions.errors import BrokerError
from permissions.gathered import Gathered
from permissions.inquiry.assured import DRILL, Assured, assured, attacks, false_positives

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.responses import Response

    from permissions.approval.model import AccessRequest
    from permissions.console.record import Record
    from permissions.console.visit import Visit
    from permissions.gathered import PartResult

DAYS: Final = 14
MEASUREMENTS: Final = 12
"""Newest measurements of a part that are shown."""
_DAY = 24 * 60 * 60 * 1_000_000


class Day(NamedTuple):
    """Calls that were asked for on one day, UTC; `answer` in seconds, half took longer."""

    began: int
    calls: int
    denied: int
    waited: int
    overridden: int
    refused: int
    answer: float | None


class Evaluation(NamedTuple):
    """One evaluation; None for what was not played."""

    measured_at: int
    attacks: float | None
    false_positives: float | None
    outcome: str


class Measurements(NamedTuple):
    """What was gathered, for the page."""

    now: Assured
    evaluations: list[Evaluation]
    drills: list[PartResult]
    gates: list[PartResult]
    problem: str


async def show(visit: Visit) -> Response:
    """The page."""
    parts = visit.parts.broker.parts
    since = (visit.parts.clock() // _DAY - DAYS + 1) * _DAY
    asked = await parts.approvals.listed(pending_only=False)
    record, folder = visit.parts.record, visit.parts.evidence
    days = await anyio.to_thread.run_sync(_days, record, since, asked)
    found = await anyio.to_thread.run_sync(_gathered, folder, str(parts.pdp.revision))
    return visit.page(
        "operations.html",
        days=days,
        most=max((each.calls for each in days), default=1),
        count=DAYS,
        found=found,
        folder=folder,
        prefix=DRILL,
    )


def _days(record: Record | None, since: int, asked: Iterable[AccessRequest]) -> list[Day]:
    """Every day since, the newest first."""
    answers: dict[int, list[float]] = {}
    for request in asked:
        if request.created_at >= since and request.votes:
            took = (request.votes[-1].time - request.created_at) / 1e6
            answers.setdefault(request.created_at // _DAY, []).append(took)
    counts: dict[int, dict[str, int]] = {}
    for day, ended, answered, many in () if record is None else record.days(since):
        of = counts.setdefault(day, {})
        is_denied = ended in ("denied", "unavailable")
        for name, holds in (
            ("calls", True),
            ("denied", is_denied),
            ("waited", ended in ("pending", "expired")),
            ("overridden", answered and not is_denied and ended not in ("pending", "expired")),
            ("refused", answered and is_denied),
        ):
            of[name] = of.get(name, 0) + many * holds
    first = since // _DAY
    found = []
    for day in range(first + DAYS - 1, first - 1, -1):
        of = counts.get(day, {})
        found.append(
            Day(
                began=day * _DAY,
                calls=of.get("calls", 0),
                denied=of.get("denied", 0),
                waited=of.get("waited", 0),
                overridden=of.get("overridden", 0),
                refused=of.get("refused", 0),
                answer=median(answers[day]) if day in answers else None,
            )
        )
    return found


def _gathered(folder: Path | None, revision: str) -> Measurements:
    """What the gate and the drills left; what cannot be read is said on the page."""
    if folder is None:
        return Measurements(Assured(), [], [], [], "")
    kept = Gathered(folder)
    try:
        results = kept.all()
        evaluations = [
            Evaluation(each.measured_at, attacks(each), false_positives(each), each.outcome)
            for each in _newest(kept, "evaluation")
        ]
        drills = [
            each for name in results if name.startswith(DRILL) for each in _newest(kept, name)
        ]
        drills.sort(key=lambda each: -each.measured_at)
        gates = _newest(kept, "gate")
    except (BrokerError, OSError) as err:
        return Measurements(Assured(), [], [], [], str(err)[:500])
    now = assured(results, revision=revision)
    return Measurements(now, evaluations, drills[: 2 * MEASUREMENTS], gates, "")


def _newest(kept: Gathered, part: str) -> list[PartResult]:
    return [*kept.history(part)][-MEASUREMENTS:][::-1]
