"""Verifies a plan before its first step. Pure: no IO, no clock, no model is asked.

`verify_plan` finds every problem it can and says how to mend each. An accepted plan

- is acyclic, and every step of it can run (no need can stay unmet),
- names known tools by the definitions they have now,
- fits the tools' schemas as far as that can be told before the run,
- lets no untrusted content reach a control argument but through a declared extractor,
- cannot make more calls than its budget.

Taint is pushed along the edges, for a tool may repeat what it was given: an output is as
tainted as the worst argument that went in, and tainted altogether when its tool is untrusted
or does more than read, but for the fields that the tool's service fills in. A hole taints when it admits `untrusted` or `unknown` values. Between
clean and tainted stands what passed an extractor: it may reach a control argument, also by
way of a lookup, and a person is then named to see it. What counts as an extractor is written
at `schemas.is_extractor`.

It does not judge whether the plan serves its goal, and it trusts the tools' manifests. It
does not decide: the policy decides each step, with the arguments `steps.step_arguments` gives.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from permissions.plan._flow import Flow
from permissions.plan.model import UserValue
from permissions.plan.schemas import refused_arguments
from permissions.plan.steps import known_arguments, run_order
from permissions.plan.verdict import (
    PlanProblem,
    PlanVerdict,
    WorstCase,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.model import JsonValue
    from permissions.plan.model import Plan, PlannedTool, PlanStep


def verify_plan(
    plan: Plan,
    tools: Mapping[str, PlannedTool],
    *,
    now: int,
    said_by_user: Callable[[JsonValue], bool] | None = None,
) -> PlanVerdict:
    """Verifies a plan against the tools as they are defined now.

    Args:
        plan: the plan.
        tools: every tool the session may call, by name.
        now: microseconds since 1970-01-01 UTC.
        said_by_user: tells whether the person said a value. Without it each `user` argument
            is believed on the word of whoever signs the plan; give it when a model planned.
    """
    problems: list[PlanProblem] = []
    problems += _graph_problems(plan)
    flow = Flow(plan, tools)
    for step in plan.steps:
        tool = tools.get(step.tool)
        if tool is None:
            problems.append(
                PlanProblem(
                    "plan.unknown_tool",
                    step.id,
                    f"no tool {shown(step.tool)} is known",
                    "use the name of a registered tool, or say which tools there are",
                )
            )
            continue
        problems += _tool_problems(step, tool)
        problems += flow.problems(step, tool)
        if said_by_user is not None:
            problems += _unsaid(step, said_by_user)
    worst = _worst_case(plan, tools)
    problems += _frame_problems(plan, tools, worst=worst, now=now)
    return PlanVerdict(
        plan=plan.digest,
        problems=tuple(problems),
        approvals_needed=tuple(s.id for s in plan.steps if flow.needs_person(s)),
        worst_case=worst,
    )


def _graph_problems(plan: Plan) -> list[PlanProblem]:
    found: list[PlanProblem] = []
    counts = Counter(step.id for step in plan.steps)
    found += [
        PlanProblem(
            "plan.duplicate_step",
            name,
            f"{count} steps are called {name}",
            "rename all but one",
        )
        for name, count in counts.items()
        if count > 1
    ]
    found += [
        PlanProblem(
            "plan.unknown_need",
            step.id,
            f"it needs {need}, which is no step of this plan",
            "name an existing step, or leave the need out",
        )
        for step in plan.steps
        for need in step.needs
        if need not in counts
    ]
    if run_order(plan) is None:
        found.append(
            PlanProblem(
                "plan.cycle",
                None,
                "some steps need each other in a circle, so none of them can begin",
                "remove one of the needs of the circle",
            )
        )
    return found


def _tool_problems(step: PlanStep, tool: PlannedTool) -> list[PlanProblem]:
    found: list[PlanProblem] = []
    if step.tool_digest is not None and step.tool_digest != tool.digest:
        found.append(
            PlanProblem(
                "plan.tool_changed",
                step.id,
                f"{shown(tool.name)} is no longer defined as it was when this was planned",
                f"look at the tool again, then pin {tool.digest}",
            )
        )
    declared = tool.schema.get("properties", {})
    found += [
        PlanProblem(
            "plan.unknown_argument",
            step.id,
            f"{shown(tool.name)} has no argument {shown(name)}",
            f"its arguments are {', '.join(sorted(declared)) or 'none'}"[:300],
        )
        for name in step.arguments
        if name not in declared
    ]
    found += [
        PlanProblem(
            "plan.missing_argument",
            step.id,
            f"{shown(tool.name)} requires {shown(name)}",
            "give it a literal, a user value, a reference or a hole",
        )
        for name in tool.schema.get("required", ())
        if name not in step.arguments
    ]
    known = {n: v for n, v in known_arguments(step).known.items() if n in declared}
    found += [
        PlanProblem(
            "plan.value_refused",
            step.id,
            f"the value of {shown(name)} does not fit the tool's schema ({keyword})",
            f"read the schema of {shown(tool.name)} and correct the value",
        )
        for name, keyword in refused_arguments(tool.schema, known).items()
    ]
    return found


def _unsaid(step: PlanStep, said: Callable[[JsonValue], bool]) -> list[PlanProblem]:
    return [
        PlanProblem(
            "plan.user_value_unsaid",
            step.id,
            f"{shown(name)} is declared as said by the person, who did not say it",
            "declare it as a literal, or ask the person",
        )
        for name, argument in step.arguments.items()
        if isinstance(argument, UserValue) and not said(argument.user)
    ]


def _worst_case(plan: Plan, tools: Mapping[str, PlannedTool]) -> WorstCase:
    effects: Counter[str] = Counter()
    for step in plan.steps:
        tool = tools.get(step.tool)
        effects["unknown" if tool is None else tool.effect] += step.uses
    return WorstCase(calls=effects.total(), by_effect=dict(sorted(effects.items())))


def _frame_problems(
    plan: Plan, tools: Mapping[str, PlannedTool], *, worst: WorstCase, now: int
) -> list[PlanProblem]:
    found: list[PlanProblem] = []
    for name in plan.read_scope:
        tool = tools.get(name)
        if tool is None or tool.effect != "read":
            found.append(
                PlanProblem(
                    "plan.scope_tool",
                    None,
                    f"{shown(name)} in read_scope is no known tool that only reads",
                    "list read tools there; declare anything else as a step",
                )
            )
    if worst.calls > plan.budget.calls:
        found.append(
            PlanProblem(
                "plan.over_budget",
                None,
                f"the steps allow {worst.calls} calls, the budget {plan.budget.calls}",
                "lower the uses of a step, or raise budget.calls",
            )
        )
    if plan.expires_at <= now:
        found.append(
            PlanProblem(
                "plan.expired",
                None,
                "the plan's expires_at is not in the future",
                "declare it anew; times are microseconds since 1970-01-01 UTC",
            )
        )
    return found
