"""Declaring a plan in a session: verified as a whole, then each known step decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions import records
from permissions.errors import PlanError
from permissions.plan.cursor import PlanCursor
from permissions.plan.steps import step_arguments
from permissions.plan.verifier import verify_plan
from permissions.session import ToolCall

if TYPE_CHECKING:
    from permissions.broker import PermissionBroker
    from permissions.plan.model import Plan
    from permissions.session import Session


async def declare(broker: PermissionBroker, session: Session, plan: Plan) -> None:
    """Holds the session to a plan from now on.

    The plan is verified without any model; steps whose arguments are all known are put to
    the policy at once, so that a plan that would be denied anyway fails before step 1. A
    step that needs a person is no fault: the person is asked when it is reached.

    Raises:
        PlanError: the plan was not accepted; names each step and what to mend.
        TraceWriteError: the plan could not be recorded.
    """
    parts = broker.parts
    if session.cursor is not None or session.calls:
        raise PlanError("a plan is declared once, before the first call of a session")
    tools = {tool.name: tool for tool in parts.registry}
    verdict = verify_plan(
        plan, tools, now=parts.clock(), said_by_user=session.provenance.said_by_user
    )
    problems = [
        f"{problem.step or 'plan'}: {problem.text} [{problem.code}]; {problem.fix}"
        for problem in verdict.problems
    ]
    if verdict.accepted:
        session.cursor = PlanCursor.start(plan, tools, verdict)
        session.provenance.add_plan(
            plan.id, [value for step in step_arguments(plan) for value in step.known.values()]
        )
        for step in step_arguments(plan):
            if step.concrete and not _waits(plan, step.step):
                explained = await broker.explain(session, ToolCall(step.tool, step.known))
                if explained.verdict == "deny":
                    said = "; ".join(f"{r.agent} [{r.code}]" for r in explained.reasons)
                    problems.append(f"{step.step}: {said}")
    await parts.trace.append(
        [records.plan(session, plan, accepted=not problems)], evidence="durable"
    )
    if problems:
        session.cursor = None
        raise PlanError("the plan was not accepted:\n  " + "\n  ".join(problems))


def _waits(plan: Plan, step: str) -> bool:
    """Whether a step needs another one: asked for now, its verdict would be `not_ready`."""
    return any(each.id == step and each.needs for each in plan.steps)
