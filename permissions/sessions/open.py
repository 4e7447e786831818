"""Opening and closing sessions: who asks, with which budgets, under which plan."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import anyio

from permissions.broker import entries
from permissions.broker.recorder import Recorder
from permissions.errors import ConfigError
from permissions.obligations.budget import InMemoryBudgetLedger
from permissions.plan.model import Plan
from permissions.run.found_values import FoundValues
from permissions.run.provenance import ProvenanceLedger
from permissions.run.state import RunState, require_shown, subject_of
from permissions.sessions.declare_plan import declare
from permissions.sessions.resume import restore
from permissions.sessions.scope import entered, sole_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.broker.ports import BrokerParts
    from permissions.trace.entry import TraceEntry


@asynccontextmanager
async def open_session(
    broker: PermissionBroker,
    *,
    user: str | None = None,
    agent: str | None = None,
    roles: Sequence[str] = (),
    run: str | None = None,
    prompt: str = "",
    plan: Plan | None = None,
    plan_required: bool = False,
    budgets: Mapping[str, int] | None = None,
    approval_mode: Literal["wait", "suspend"] | None = None,
    workspace: Path | None = None,
) -> AsyncIterator[RunState]:
    """Opens a session on the broker's own event loop and makes it current in this context.

    Args:
        broker: an open broker.
        user: the person asking, or acted for when there is an `agent`.
        agent: the agent asking.
        roles: roles of the subject, as policies know them.
        run: id of the run; give the same one to go on with a run: its plan, budgets, labels
            and the origin of its values are read back from the trace, which takes time in
            proportion to the trace.
        prompt: what the person asked for, to which argument values are traced.
        plan: the declared plan; verified and decided before this returns.
        plan_required: policies then refuse calls when there is no plan.
        budgets: limits by name; `calls` counts calls.
        approval_mode: `wait` or `suspend`; the configured one by default.
        workspace: folder that relative paths start from; the configured one by default.

    Raises:
        ConfigError: a keyword has a value outside its vocabulary, or a name reads as
            somebody else's.
        PlanError: the plan was not accepted; says which step and why.
        RunOpenError: the run has an open session already.
        BudgetError: the run was opened with other limits before.
        TraceWriteError: the start of the run could not be recorded.
    """
    if (elsewhere := getattr(broker, "session", None)) is not None:  # a daemon's
        options = {
            "user": user,
            "agent": agent,
            "roles": roles,
            "run": run,
            "prompt": prompt,
            "plan": plan,
            "plan_required": plan_required,
            "budgets": budgets,
            "approval_mode": approval_mode,
            "workspace": workspace,
        }
        async with elsewhere(**options) as remote:
            yield remote
        return
    if approval_mode not in {None, "wait", "suspend"}:
        raise ConfigError(f"approval_mode={approval_mode!r} is neither 'wait' nor 'suspend'")
    if plan is not None and not isinstance(plan, Plan):
        raise ConfigError("plan= takes a Plan; read one with permissions.plan.model.parse_plan")
    require_shown("run", run or "")
    parts = broker.parts
    folder = await anyio.to_thread.run_sync((workspace or parts.workspace).resolve)
    session = RunState(
        run=run or parts.ids("run"),
        subject=subject_of(user=user, agent=agent, roles=roles),
        workspace=folder,
        approval_mode=approval_mode or parts.approval_mode,
        budgets=InMemoryBudgetLedger(),
        limits={"calls": None, **(budgets or {})},
        provenance=ProvenanceLedger(),
        plan_required=plan_required,
        found=FoundValues(parts.inspection.recorded),
    )
    with sole_session(broker, session.run):
        resumed = run is not None and restore(
            session, await anyio.to_thread.run_sync(_history, parts, run), parts
        )
        session.provenance.add_user_text(prompt)
        if any(limit is not None for limit in session.limits.values()):
            session.budgets = parts.budgets  # what is limited is counted durably
        await session.budgets.open(session.run, session.limits)
        record = Recorder(parts.trace, parts.inspection, session.found)
        record.note(entries.run_start(session, prompt=prompt, resumed=resumed))
        await record.flush("durable")
        async with entered(broker, session, record):
            if plan is not None and not _is_the_same(session, plan):
                await declare(broker, session, plan, record)
            yield session


def _history(parts: BrokerParts, run: str) -> dict[str, list[TraceEntry]]:
    """What is recorded of a run, and of those it sent."""
    found, left = dict[str, "list[TraceEntry]"](), [run]
    while left:
        name = left.pop()
        found[name] = list(parts.history(name))
        sent = [each.body["sent"] for each in found[name] if each.type == "delegation"]
        left += [each for each in sent if each not in found]
    return found


def _is_the_same(session: RunState, plan: Plan) -> bool:
    return session.cursor is not None and session.cursor.plan.digest == plan.digest
