"""Declaring a plan in a session: verified as a whole, then each known step decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.broker import entries
from permissions.errors import PlanError
from permissions.plan.cursor import PlanCursor
from permissions.plan.steps import step_arguments
from permissions.plan.verifier import verify_plan
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.broker.broker import PermissionBroker
    from permissions.broker.recorder import Recorder
    from permissions.plan.model import Plan
    from permissions.run.state import RunState


async def declare(
    broker: PermissionBroker, session: RunState, plan: Plan, record: Recorder
) -> None:
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
    problems = [*_other_principals(session, plan)]
    problems += [
        f"{problem.step or 'plan'}: {problem.text} [{problem.code}]; {problem.fix}"
        for problem in verdict.problems
    ]
    if not problems:
        session.cursor = PlanCursor.start(plan, tools, verdict)
        problems += await _denied_steps(broker, session, plan)
    record.note(entries.plan(session, plan, verdict, accepted=not problems))
    await record.flush("durable")
    if problems:
        session.cursor = None
        raise PlanError("the plan was not accepted:\n  " + "\n  ".join(problems))
    session.provenance.add_plan(plan.id, plan.pinned_values())


def _other_principals(session: RunState, plan: Plan) -> Iterator[str]:
    """A plan holds for those it names, and for nobody else."""
    subject = session.subject
    for name, declared, actual in (
        ("subject", plan.subject, f"{subject.type}:{subject.id}"),
        ("on_behalf_of", plan.on_behalf_of, subject.properties["on_behalf_of"]),
    ):
        if declared != actual:
            yield f"plan: {name} is {declared!r}, and the session's is {actual!r}"


async def _denied_steps(broker: PermissionBroker, session: RunState, plan: Plan) -> list[str]:
    """What policy says of the steps that are fully known and may come first."""
    first = {step.id for step in plan.steps if not step.needs}
    denied = []
    for step in step_arguments(plan):
        if not step.concrete or step.step not in first:
            continue
        explained = await broker.explain(session, ToolCall(step.tool, step.known))
        if explained.verdict == "deny":
            said = "; ".join(f"{r.agent} [{r.code}]" for r in explained.reasons)
            denied.append(f"{step.step}: {said}")
    return denied
