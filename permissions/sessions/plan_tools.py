"""Tools about the plan of the run itself: amend it, and have the whole of it approved once.

They are guarded tools like any other, and an agent may be given them: each call is decided by
policy, shown to a person as it stands (the delta, or the whole plan), recorded, and applied only
when it ran. Their impact is high, so the shipped policies ask a person; a value of an untrusted
source in a control argument of an added step is denied there as it is in a call.

    Broker(tools=[*my_tools, amend_plan, approve_plan])

Not protected from: a person who approves a plan without reading it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

from permissions.broker import entries
from permissions.broker.recorder import Recorder
from permissions.errors import NoSessionError, PlanError
from permissions.plan.model import plan_from
from permissions.plan.verifier import verify_plan
from permissions.run.state import AMEND_PLAN, APPROVE_PLAN
from permissions.tools.context import CURRENT_SESSION
from permissions.tools.decorator import tool
from permissions.tools.targets import FreeText

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.plan.model import Plan
    from permissions.plan.verdict import PlanVerdict
    from permissions.run.state import RunState
    from permissions.sessions.handle import CurrentSession

STEP_LIMIT = 50
"""Steps that one amendment adds: more than a person reads at once."""


@tool(
    name=AMEND_PLAN,
    effect="write",
    impact="high",
    control=["add", "remove", "calls"],
    trusted_fields=["digest"],
)
async def amend_plan(
    add: Annotated[list[dict[str, Any]], FreeText()],
    remove: Annotated[list[str] | None, FreeText()] = None,
    calls: Annotated[int, FreeText()] = 0,
) -> dict[str, str]:
    """Changes the plan of this run by a delta, which a person approves.

    Args:
        add: steps as a plan writes them; one with the id of a known step replaces it.
        remove: ids of steps that are no longer needed.
        calls: how many calls the budget grows by.

    Raises:
        PlanError: there is no plan, or the amended one is not accepted; nothing changed.
    """
    broker, session = _here()
    if session.cursor is None:
        raise PlanError("this run has no plan to amend; declare one before its first call")
    if not 0 < len(add) + len(remove or ()) <= STEP_LIMIT or calls < 0:
        raise PlanError(f"an amendment has 1 to {STEP_LIMIT} steps, and no fewer calls")
    amended = _amended(session.cursor.plan, add, set(remove or ()), calls)
    tools = {each.name: each for each in broker.parts.registry}
    verdict = verify_plan(
        amended,
        tools,
        now=broker.parts.clock(),
        said_by_user=session.provenance.said_by_user,
    )
    await _record(broker, session, amended, verdict)
    session.amend(session.cursor.amended(amended, tools, verdict))
    session.provenance.add_plan(amended.id, amended.pinned_values())
    return {"digest": amended.digest}


@tool(name=APPROVE_PLAN, effect="write", impact="high", control=["plan"])
async def approve_plan(plan: Annotated[dict[str, Any], FreeText()]) -> dict[str, str]:
    """Has a person approve the whole plan of this run, so that its steps ask nobody again.

    What the approval covers: planned calls whose control arguments the plan pins or the person
    said. It ends with the plan, with the time its approvers gave it, and when it is amended.

    Args:
        plan: the plan as it was declared.

    Raises:
        PlanError: it is not the plan of this run.
    """
    _, session = _here()
    shown = plan_from(plan)
    if session.cursor is None or session.cursor.plan.digest != shown.digest:
        raise PlanError("this is not the plan of the run; show the one that was declared")
    return {"digest": shown.digest}


def _amended(plan: Plan, add: list[dict[str, Any]], remove: set[str], calls: int) -> Plan:
    document = plan.document()
    added = {str(step.get("id")): step for step in add}
    if unknown := remove - {step["id"] for step in document["steps"]}:
        raise PlanError(f"the plan has no step {', '.join(sorted(unknown))[:200]}")
    kept = [
        added.pop(step["id"], step) for step in document["steps"] if step["id"] not in remove
    ]
    budget = {"calls": document["budget"]["calls"] + calls}
    return plan_from({**document, "steps": [*kept, *added.values()], "budget": budget})


async def _record(
    broker: PermissionBroker, session: RunState, amended: Plan, verdict: PlanVerdict
) -> None:
    record = Recorder(broker.parts.trace, broker.parts.inspection, session.found)
    record.note(entries.plan(session, amended, verdict, accepted=verdict.accepted))
    await record.flush("durable")
    if not verdict.accepted:
        said = "; ".join(f"{p.step or 'plan'}: {p.text} [{p.code}]" for p in verdict.problems)
        raise PlanError(f"the amended plan was not accepted: {said[:1500]}")


def _here() -> tuple[PermissionBroker, RunState]:
    """The broker of the current session and what it remembers; both are in this process."""
    handle = cast("CurrentSession | None", CURRENT_SESSION.get())
    if handle is None:
        raise NoSessionError("a plan belongs to a run; open a session first")
    return cast("PermissionBroker", handle.broker), cast("RunState", handle.session)
