"""The steps of a plan in the order they can run, and what of their arguments is known."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, assert_never

from permissions.plan.model import (
    Hole,
    LiteralValue,
    Reference,
    UserValue,
)

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.plan.model import Plan, PlanStep


@dataclass(frozen=True, slots=True)
class StepArguments:
    """What is known of a step's arguments before the run, and which are still open."""

    step: str
    tool: str
    known: JsonObject
    open: tuple[str, ...]

    @property
    def concrete(self) -> bool:
        """Whether the policy can decide the step for good now."""
        return not self.open


def step_arguments(plan: Plan) -> tuple[StepArguments, ...]:
    """Each step in plan order with the arguments that are fixed before step 1."""
    return tuple(known_arguments(step) for step in plan.steps)


def known_arguments(step: PlanStep) -> StepArguments:
    """What the plan itself fixes of one step's arguments."""
    known: JsonObject = {}
    for name, argument in step.arguments.items():
        match argument:
            case LiteralValue(literal=value) | UserValue(user=value):
                known[name] = value
            case Reference() | Hole():
                pass
            case _:
                assert_never(argument)
    still_open = tuple(name for name in step.arguments if name not in known)
    return StepArguments(step=step.id, tool=step.tool, known=known, open=still_open)


def run_order(plan: Plan) -> tuple[PlanStep, ...] | None:
    """The steps so that needs come first, plan order among equals; None when there is none.

    Needs that name no step are left out; when a step's id is taken twice the first counts.
    """
    steps: dict[str, PlanStep] = {}
    for step in plan.steps:
        steps.setdefault(step.id, step)
    position = {name: index for index, name in enumerate(steps)}
    sorter = TopologicalSorter(
        {step.id: [n for n in step.needs if n in steps] for step in steps.values()}
    )
    try:
        sorter.prepare()
    except CycleError:
        return None
    ordered: list[PlanStep] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
        name = ready.pop(0)
        ordered.append(steps[name])
        sorter.done(name)
    return tuple(ordered)
