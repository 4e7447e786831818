"""Figures of what was gathered: how fast incidents are found and stopped, and what is proven. Pure.

They are of measurements, drills and evaluations; nothing here watches calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.gathered import PartResult

DRILL = "drill-"
_CLOSED = ("mitigated", "accepted", "closed")


@dataclass(frozen=True, slots=True)
class Assured:
    """The newest figures; None for what was not measured.

    Attributes:
        detect: seconds from an incident to its detection, by drill; none where the policies
            prevented it, for nothing was there to be found.
        mitigate: seconds from its detection until it was stopped, by drill.
        worked: whether each step of the runbook did, by drill.
        false_positives: share of honest calls that were asked about or denied, in the worst
            variant and plan that was evaluated with the policies.
        completeness: share of the gate's parts that were measured, under the policies in force.
        closure: share of the register's risks that nobody has to work on any more.
    """

    detect: Mapping[str, float] = field(default_factory=dict)
    mitigate: Mapping[str, float] = field(default_factory=dict)
    worked: Mapping[str, bool] = field(default_factory=dict)
    false_positives: float | None = None
    completeness: float | None = None
    closure: float | None = None


def assured(results: Mapping[str, PartResult], *, revision: str) -> Assured:
    """The figures of the newest results.

    Args:
        results: by part (`Gathered.all`).
        revision: of the policies in force.
    """
    drills = {
        name.removeprefix(DRILL): result
        for name, result in results.items()
        if name.startswith(DRILL)
    }
    return Assured(
        detect=_seconds(drills, "detect"),
        mitigate=_seconds(drills, "stop"),
        worked={name: result.outcome == "passed" for name, result in drills.items()},
        false_positives=false_positives(results.get("evaluation")),
        completeness=_completeness(results, revision),
        closure=_closure(results.get("register")),
    )


def _seconds(drills: Mapping[str, PartResult], phase: str) -> dict[str, float]:
    return {
        name: float(spent[phase])
        for name, result in drills.items()
        if phase in (spent := result.evidence.get("seconds") or {})
        and not result.evidence.get("prevented")
    }


def false_positives(evaluation: PartResult | None) -> float | None:
    """The worst share of one evaluation; None where honest work was not played."""
    shares = [
        rate["share"]
        for figures in _figures(evaluation)
        if figures.get("variant") != "V0"  # everything is allowed there
        and (rate := (figures.get("rates") or {}).get("false_positives"))
    ]
    return max(shares, default=None)


def attacks(evaluation: PartResult | None) -> float | None:
    """The worst share of attacks that reached their goal; None where none was played."""
    shares = [
        found["share"]
        for figures in _figures(evaluation)
        if figures.get("variant") != "V0" and (found := figures.get("attacks"))
    ]
    return max(shares, default=None)


def _figures(evaluation: PartResult | None) -> list[Any]:
    return [] if evaluation is None else evaluation.evidence.get("figures", [])


def _completeness(results: Mapping[str, PartResult], revision: str) -> float | None:
    gate = results.get("gate")
    parts = [] if gate is None else [each["part"] for each in gate.evidence.get("parts", [])]
    if not parts:
        return None
    measured = sum(
        name in results
        and results[name].outcome != "not_measured"
        and results[name].policies == revision
        for name in parts
    )
    return measured / len(parts)


def _closure(register: PartResult | None) -> float | None:
    risks = [] if register is None else register.evidence.get("risks", [])
    if not risks:
        return None
    return sum(each.get("status") in _CLOSED for each in risks) / len(risks)
