"""Sending a sub-agent: a session of its own, with a part of what its sender may do.

What it was given holds at each of its calls, together with what everyone above it was given;
policies, the plan, labels and provenance are those of the run it works for. Its budgets are taken
from its senders', too, in one step. It ends with them.

Not protected from: code that gives a sub-agent its parent's session, or calls guarded functions
outside of the sub-agent's context.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from permissions.broker import entries
from permissions.broker.delegated import require_live
from permissions.broker.denial import Refusal
from permissions.broker.recorder import Recorder
from permissions.errors import DelegationError
from permissions.run.delegation import MAX_DEPTH, Delegation, delegation_from
from permissions.run.delegation_store import Delegated
from permissions.run.state import RunState, require_shown, subject_of
from permissions.sessions.scope import entered, sole_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from permissions.broker.broker import PermissionBroker


@asynccontextmanager
async def open_delegate(
    broker: PermissionBroker,
    parent: RunState,
    *,
    agent: str,
    may: Delegation | Mapping[str, Any],
    task: str = "",
    run: str | None = None,
) -> AsyncIterator[RunState]:
    """Opens a session for a sub-agent below another session, and makes it current here.

    Args:
        broker: the parent's.
        parent: an open session of an agent, itself a delegate or not.
        agent: name of the sub-agent.
        may: what it may do, or that as JSON.
        task: what it is told to do, for the record; these are no words of the person's.
        run: id of its run; give that of one whose session has ended to go on with it.

    Raises:
        ConfigError: the name reads as somebody else's.
        DelegationError: it would give more than the parent has, the parent has ended, expired or
            was revoked, or the run was given something else before.
        RunOpenError: the run has an open session already.
        TraceWriteError: it could not be recorded.
    """
    if (elsewhere := getattr(broker, "delegate", None)) is not None:  # a daemon's
        async with elsewhere(parent, agent=agent, may=may, task=task, run=run) as remote:
            yield remote
        return
    given = await delegable(broker, parent, agent=agent, may=may, run=run)
    parts, name = broker.parts, run or broker.parts.ids("run")
    with sole_session(broker, name):
        known = parent.delegates.get(name)
        if known is None and run is not None:
            await _require_unused(broker, run)
        session = known or _sent(broker, parent, agent, given, name)
        _require_the_same(session, agent, given)
        record = Recorder(parts.trace, parts.inspection, session.found)
        try:
            await _open_budgets(broker, session)
            tools = tuple(given.names())
            await parts.delegations.put(
                Delegated(name, parent.run, agent, tools, parts.clock(), session.expires)
            )
            if known is None:
                record.note(entries.delegation(parent, session, given))
            record.note(entries.run_start(session, task=task, resumed=known is not None))
            await record.flush("durable")
        except BaseException:
            if known is None:
                del parent.delegates[name]
            raise
        session.closed = False
        async with entered(broker, session, record):
            yield session


async def delegable(
    broker: PermissionBroker,
    parent: RunState,
    *,
    agent: str,
    may: Delegation | Mapping[str, Any],
    run: str | None,
) -> Delegation:
    """What would be given, if a session may give it to a sub-agent of that name now.

    Raises:
        ConfigError, DelegationError: as `open_delegate`.
    """
    given = may if isinstance(may, Delegation) else delegation_from(may)
    require_shown("run", run or "")
    subject_of(user=None, agent=agent, roles=())
    if not agent:
        raise DelegationError("a sub-agent has a name")
    await _require_live(broker, parent)
    if problems := [*_problems(broker, parent, given)]:
        raise DelegationError("it cannot be delegated: " + "; ".join(problems)[:2000])
    return given


@asynccontextmanager
async def open_warranted(broker: PermissionBroker, warrant: str) -> AsyncIterator[RunState]:
    """Opens a sub-agent's session that another process has a warrant for (`warrant_for`).

    Args:
        broker: a daemon's.
        warrant: the text.

    Raises:
        DelegationError: it is not the daemon's, has run out, or its sender has ended.
        ServiceError: this program may not name that agent.
    """
    async with _daemon(broker).warranted(warrant) as session:
        yield session


async def warrant_for(
    broker: PermissionBroker,
    parent: RunState,
    *,
    agent: str,
    may: Delegation | Mapping[str, Any],
    task: str = "",
    run: str | None = None,
) -> str:
    """What another process opens a sub-agent's session with, below this one; see `open_delegate`.

    It holds for an hour, and as long as the sender's session is open. Hand it over as a secret.

    Raises:
        DelegationError: as `open_delegate`, or the broker is not a daemon's.
    """
    made: str = await _daemon(broker).warrant(parent, agent=agent, may=may, task=task, run=run)
    return made


def _daemon(broker: Any) -> Any:
    if not hasattr(broker, "warrant"):
        raise DelegationError(
            "sub-agents of other processes are sent through a daemon (`wardline serve`)"
        )
    return broker


async def _require_unused(broker: PermissionBroker, run: str) -> None:
    def used() -> bool:
        return any(True for _ in broker.parts.history(run))

    if await anyio.to_thread.run_sync(used):
        raise DelegationError(f"run {run[:80]!r} is another's; leave the id to the broker")


async def _require_live(broker: PermissionBroker, parent: RunState) -> None:
    try:
        await require_live(broker.parts, parent)
    except Refusal as refusal:
        raise DelegationError(
            f"run {parent.run[:80]!r} cannot send anybody: {refusal.reasons[0].agent}"
        ) from None


def _problems(broker: PermissionBroker, parent: RunState, given: Delegation) -> Iterator[str]:
    yield from given.widens(parent.delegation, parent.limits)
    if 1 + sum(1 for _ in parent.senders()) > MAX_DEPTH:
        yield f"sub-agents are at most {MAX_DEPTH} deep"
    for name, part in given.tools.items():
        definition = broker.parts.registry.find(name)
        if definition is None:
            yield f"no tool {name[:80]!r} is registered"
            continue
        known = definition.schema.get("properties", {})
        for argument in sorted(part.arguments.keys() - known.keys()):
            yield f"tool {name[:80]!r} has no argument {argument[:80]!r}"


def _sent(
    broker: PermissionBroker, parent: RunState, agent: str, given: Delegation, run: str
) -> RunState:
    ends = [parent.expires] if parent.expires is not None else []
    if given.seconds is not None:
        ends.append(broker.parts.clock() + given.seconds * 1_000_000)
    limits = {**parent.limits, **given.budgets}
    is_limited = any(limit is not None for limit in limits.values())
    return parent.send(
        run=run,
        agent=agent,
        delegation=given,
        # What is limited is counted durably, where the parent's may not be.
        budgets=broker.parts.budgets if is_limited else parent.budgets,
        expires=min(ends, default=None),
    )


def _require_the_same(session: RunState, agent: str, given: Delegation) -> None:
    same = session.delegation is not None and session.delegation.digest == given.digest
    if not same or session.subject.id != agent:
        raise DelegationError(
            f"run {session.run[:80]!r} was delegated to another agent, or with other rights;"
            " use a run of its own"
        )


async def _open_budgets(broker: PermissionBroker, session: RunState) -> None:
    """Below the parent's, where they are counted in the same ledger; else those have no limit."""
    if any(limit is not None for limit in session.limits.values()):
        session.budgets = broker.parts.budgets
    above = session.parent
    shares = above is not None and above.budgets is session.budgets
    parent = above.run if shares and above is not None else None
    await session.budgets.open(session.run, session.limits, parent=parent)
