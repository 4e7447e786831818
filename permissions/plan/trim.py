"""A plan less the tools that are not there: models invent some.

A plan with an unknown tool is refused by the verifier. Whoever would rather go on without such
steps trims the plan first, sees what was dropped, and verifies what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import PlanError
from permissions.plan.model import plan_from

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from permissions.model import JsonObject
    from permissions.plan.model import Plan


class Trimmed(NamedTuple):
    """What is left of a plan.

    Attributes:
        plan: the plan to verify and declare.
        dropped: one sentence for each step, need and name that is gone.
    """

    plan: Plan
    dropped: tuple[str, ...]


def trim_plan(plan: Plan, tools: Collection[str]) -> Trimmed:
    """Drops the steps whose tools are unknown, and those that build on what they return.

    Args:
        plan: as somebody wrote it.
        tools: names of the tools that are registered.

    Raises:
        PlanError: no step is left.
    """
    document = plan.document()
    steps: list[JsonObject] = document["steps"]
    said = []
    gone: dict[str, str] = {}
    for step in steps:
        if step["tool"] not in tools:
            gone[step["id"]] = f"no tool {step['tool'][:80]!r}"
    while new := {
        step["id"]: f"an argument is what {source!r} returns"
        for step in steps
        if step["id"] not in gone
        for source in _sources(step)
        if source in gone
    }:
        gone |= new
    left = [step for step in steps if step["id"] not in gone]
    said += [f"step {name!r}: {why}" for name, why in gone.items()]
    if not left:
        raise PlanError("no step of the plan is left: " + "; ".join(said)[:1500])
    scope = [name for name in document["read_scope"] if name in tools]
    lost = [name for name in document["read_scope"] if name not in tools]
    said += [f"read_scope: no tool {name[:80]!r}" for name in lost]
    for step in left:
        step["needs"] = [need for need in step["needs"] if need not in gone]
    trimmed = plan_from({**document, "steps": left, "read_scope": scope})
    return Trimmed(trimmed, tuple(said))


def _sources(step: JsonObject) -> Iterator[str]:
    """Ids of steps whose outputs go into a step's arguments."""
    for argument in step["arguments"].values():
        if isinstance(source := argument.get("step"), str):
            yield source
