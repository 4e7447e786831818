"""Opening and closing sessions: who asks, with which budgets, under which plan."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Literal, cast

import anyio
from anyio.lowlevel import current_token

from permissions.broker import entries
from permissions.broker.recorder import Recorder
from permissions.errors import ConfigError, NoSessionError, RunOpenError
from permissions.logs import get_logger
from permissions.obligations.budget import InMemoryBudgetLedger
from permissions.plan.model import Plan
from permissions.run.provenance import ProvenanceLedger
from permissions.run.state import RunState, require_shown, subject_of
from permissions.sessions.declare_plan import declare
from permissions.sessions.handle import InTask, InThread, LocalSession
from permissions.sessions.resume import restore
from permissions.tools.context import CURRENT_SESSION

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Coroutine,
        Iterator,
        Mapping,
        Sequence,
    )
    from pathlib import Path
    from typing import Any

    from anyio.lowlevel import EventLoopToken

    from permissions.broker.broker import PermissionBroker
    from permissions.broker.ports import BrokerParts
    from permissions.trace.entry import TraceEntry

_log = get_logger("sessions.open")

ENDING_SECONDS = 60.0
"""For the sandboxes of stateful tools to be removed; what is left then, the next start removes."""

LOOP_SECONDS = 5.0
"""How long a thread waits for a sign of life of the broker's event loop."""


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
    if approval_mode not in {None, "wait", "suspend"}:
        raise ConfigError(f"approval_mode={approval_mode!r} is neither 'wait' nor 'suspend'")
    if plan is not None and not isinstance(plan, Plan):
        raise ConfigError("plan= takes a Plan; read one with permissions.plan.model.parse_plan")
    require_shown("run", run or "")
    parts = broker.parts
    session = RunState(
        run=run or parts.ids("run"),
        subject=subject_of(user=user, agent=agent, roles=roles),
        workspace=(workspace or parts.workspace).resolve(),
        approval_mode=approval_mode or parts.approval_mode,
        budgets=InMemoryBudgetLedger(),
        limits={"calls": None, **(budgets or {})},
        provenance=ProvenanceLedger(),
        plan_required=plan_required,
    )
    with _sole_session(broker, session.run):
        resumed = run is not None and restore(
            session, await anyio.to_thread.run_sync(_history, parts, run), parts
        )
        session.provenance.add_user_text(prompt)
        if any(limit is not None for limit in session.limits.values()):
            session.budgets = parts.budgets  # what is limited is counted durably
        await session.budgets.open(session.run, session.limits)
        record = Recorder(parts.trace)
        record.note(entries.run_start(session, prompt=prompt, resumed=resumed))
        await record.flush("durable")
        async with _current(broker, session, record):
            if plan is not None and not _is_the_same(session, plan):
                await declare(broker, session, plan, record)
            yield session


@contextmanager
def _sole_session(broker: PermissionBroker, run: str) -> Iterator[None]:
    """Holds a run for one session: two would each believe the whole plan to be theirs."""
    if run in broker.open_runs:
        raise RunOpenError(
            f"run {run[:80]!r} has an open session; close it, or use its own run"
        )
    broker.open_runs.add(run)
    try:
        yield
    finally:
        broker.open_runs.discard(run)


def _history(parts: BrokerParts, run: str) -> list[TraceEntry]:
    return list(parts.history(run))


def _is_the_same(session: RunState, plan: Plan) -> bool:
    return session.cursor is not None and session.cursor.plan.digest == plan.digest


@asynccontextmanager
async def _current(
    broker: PermissionBroker, session: RunState, record: Recorder
) -> AsyncIterator[None]:
    status = "failed"
    token = CURRENT_SESSION.set(_handle(broker, session))
    try:
        yield
        status = "complete"
    finally:
        session.closed = True
        await _end_sandboxes(broker, session.run)
        record.note(entries.run_end(session, status))
        try:
            await record.flush("durable")
        finally:
            with suppress(ValueError):  # left from another task, where it never was current
                CURRENT_SESSION.reset(token)


async def _end_sandboxes(broker: PermissionBroker, run: str) -> None:
    """Nothing a run left in a sandbox is there for another one, or for itself when resumed."""
    with anyio.move_on_after(ENDING_SECONDS, shield=True):
        for executor in broker.parts.executors.values():
            try:
                await executor.end_run(run)
            except Exception as err:  # noqa: BLE001 - the end of the run is recorded all the same
                _log.error("sandboxes_not_ended", run=run, fault=type(err).__name__)


def _handle(broker: PermissionBroker, session: RunState) -> LocalSession:
    token = current_token()

    def from_thread(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            current_token()
        except RuntimeError:
            _require_answer(token)
            return anyio.from_thread.run(work, token=token)
        raise NoSessionError(
            "a sync tool was called on the event loop of an async broker and would block it;"
            " make the tool async, call it in a worker thread (anyio.to_thread.run_sync), or"
            " await broker.call(...)"
        )

    async def here(work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    return LocalSession(broker, session, in_thread=InThread(from_thread), in_task=InTask(here))


def _require_answer(token: EventLoopToken) -> None:
    """Checks that the broker's event loop goes round, before a thread waits for it.

    It does not when sync code on that loop waits for this very thread.

    Raises:
        NoSessionError: it did not within `LOOP_SECONDS`.
    """
    turned, loop = Event(), cast("Any", token.native_token)  # asyncio's or trio's
    soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    soon(turned.set)
    if not turned.wait(LOOP_SECONDS):
        raise NoSessionError(
            f"the broker's event loop is blocked, {LOOP_SECONDS:g} s by now: sync code on it"
            " seems to wait for this call. Await the async form (`graph.ainvoke`), run the"
            " sync one in a worker thread, or use the sync `Broker`"
        )
