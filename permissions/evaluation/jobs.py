"""Which scenarios a run plays: one job each, named so that a run can go on where it broke off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from permissions.evaluation.attacker import MOVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from permissions.evaluation.suite import Suite
    from permissions.evaluation.variants import PlanKind, Variant

JobKind = Literal["honest", "attack", "hijack", "adaptive", "run"]
KINDS: tuple[JobKind, ...] = ("honest", "attack", "hijack", "adaptive", "run")
CARELESS = (0.1, 0.5, 1.0)
"""How likely a careless person approves an attacker's call."""


@dataclass(frozen=True, slots=True)
class Job:
    """One scenario to be played.

    Attributes:
        goal: the attacker's, or empty.
        move: the adaptive attacker's, or the number of a recorded run.
        foreign: how likely a person approves an attacker's call.
    """

    suite: str
    variant: str
    plan: PlanKind
    kind: JobKind
    task: str
    goal: str = ""
    move: str = ""
    foreign: float = 0.0

    @property
    def key(self) -> str:
        """Names it within a run."""
        setting = f"{self.suite}/{self.variant}/{self.plan}/{self.kind}"
        return f"{setting}/{self.task}/{self.goal}/{self.move}/{self.foreign:g}"

    @property
    def scenario(self) -> str:
        """What is the same in every variant: two runs are compared by it."""
        return f"{self.suite}/{self.kind}/{self.task}/{self.goal}/{self.move}/{self.foreign:g}"


def jobs_of(
    suites: Iterable[Suite], variants: Sequence[Variant], kinds: Sequence[JobKind]
) -> Iterator[Job]:
    """Every job of these suites, variant by variant."""
    for suite in suites:
        for variant in variants:
            for plan in variant.plans:
                for kind in kinds:
                    yield from _jobs(suite, variant, plan, kind)


def _jobs(suite: Suite, variant: Variant, plan: PlanKind, kind: JobKind) -> Iterator[Job]:
    base = (suite.name, variant.name, plan, kind)
    people = (0.0, *CARELESS) if variant.asks else (0.0,)
    match kind:
        case "honest" if not variant.asks:
            # A person answers here in each variant, to tell which tasks can be done at all, so
            # those who differ only in that have the same honest work.
            yield from (Job(*base, task) for task in suite.tasks)
        case "attack":
            yield from (
                Job(*base, pair.task.id, pair.goal.id, foreign=foreign)
                for pair in suite.pairs
                if pair.is_feasible
                for foreign in people
            )
        case "hijack" if variant.decides and not variant.asks:
            yield from (Job(*base, task) for task in suite.tasks)
        case "adaptive" if variant.decides and not variant.asks:
            yield from _adaptive(base, suite)
        case "run" if not variant.asks:
            yield from (
                Job(*base, run.task, run.goal or "", move=str(number))
                for number, run in enumerate(suite.runs)
            )
        case _:
            pass


def _adaptive(base: tuple[str, str, PlanKind, JobKind], suite: Suite) -> Iterator[Job]:
    for move, (_, needs_goal) in MOVES.items():
        if needs_goal:
            yield from (
                Job(*base, pair.task.id, pair.goal.id, move=move)
                for pair in suite.pairs
                if pair.is_feasible
            )
        else:
            heard = (task for task in suite.tasks.values() if task.hears_after is not None)
            yield from (Job(*base, task.id, move=move) for task in heard)
