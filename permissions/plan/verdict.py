"""The verifier's answer: what is wrong with a plan, what it can cost, who has to look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.model import Digest, JsonObject

ProblemCode = Literal[
    "plan.duplicate_step",
    "plan.unknown_need",
    "plan.cycle",
    "plan.unknown_tool",
    "plan.tool_changed",
    "plan.unknown_argument",
    "plan.missing_argument",
    "plan.value_refused",
    "plan.user_value_unsaid",
    "plan.hole_type",
    "plan.hole_kind",
    "plan.reference_order",
    "plan.reference_field",
    "plan.reference_type",
    "plan.tainted_control",
    "plan.scope_tool",
    "plan.over_budget",
    "plan.expired",
]


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """One thing wrong with a plan, and how to mend it. Holds no argument value."""

    code: ProblemCode
    step: str | None
    text: str
    fix: str


@dataclass(frozen=True, slots=True)
class WorstCase:
    """What a plan can cost if every step is used up."""

    calls: int
    by_effect: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PlanVerdict:
    """The verifier's answer on exactly the plan of digest `plan`.

    `approvals_needed` lists the steps a person should see before the run, whatever policy
    says: irreversible ones, those of critical impact, those of high impact that do more than
    read, and those that let an untrusted value reach a control argument through an extractor.
    """

    plan: Digest
    problems: tuple[PlanProblem, ...]
    approvals_needed: tuple[str, ...]
    worst_case: WorstCase

    @property
    def accepted(self) -> bool:
        """Whether the plan may be run at all."""
        return not self.problems

    def document(self) -> JsonObject:
        """As JSON."""
        return {
            "accepted": self.accepted,
            "plan": self.plan,
            "problems": [
                {"code": p.code, "step": p.step, "text": p.text, "fix": p.fix}
                for p in self.problems
            ],
            "approvals_needed": list(self.approvals_needed),
            "worst_case": {
                "calls": self.worst_case.calls,
                "by_effect": dict(self.worst_case.by_effect),
            },
        }


def shown(name: str) -> str:
    """A name as it may stand in a message: quoted, escaped, bounded."""
    return ascii(name[:80])
