"""While a session is open: it has its run to itself, and its tools find it.

Leaving it closes it: its sandboxes end, and the end of the run is recorded.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Literal, cast

import anyio
from anyio.lowlevel import current_token

from permissions.broker import entries
from permissions.broker.recorder import Recorder
from permissions.errors import NoSessionError, RunOpenError, TraceError
from permissions.logs import get_logger
from permissions.sessions.handle import CurrentSession, InTask, InThread
from permissions.tools.context import EnteredSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
    from typing import Any

    from anyio.lowlevel import EventLoopToken

    from permissions.broker.broker import PermissionBroker
    from permissions.run.state import RunState
    from permissions.sessions.rings import OpenRun, Rings

_log = get_logger("sessions.scope")

ENDING_SECONDS = 60.0
"""For the sandboxes of stateful tools to be removed; what is left then, the next start removes."""

LOOP_SECONDS = 5.0
"""How long a thread waits for a sign of life of the broker's event loop."""


@contextmanager
def sole_session(broker: PermissionBroker, run: str) -> Iterator[None]:
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


@asynccontextmanager
async def entered(
    broker: PermissionBroker, session: RunState, record: Recorder
) -> AsyncIterator[None]:
    """Makes a session current in this context, and closes it in the end.

    Raises:
        TraceWriteError: on leaving, the end of the run could not be recorded.
    """
    status: Literal["complete", "failed"] = "failed"
    broker.stopping.sessions[session.run] = session
    with current(broker, session):
        try:
            yield
            status = "complete"
        finally:
            await _end(broker, session, record, status)


async def end_open_ones(broker: PermissionBroker) -> None:
    """Ends the sessions that are still open when their broker closes.

    A generator that nobody took to its end may hold one for as long as it lives.
    """
    for session in [*broker.stopping.sessions.values()]:
        record = Recorder(broker.parts.trace, broker.parts.inspection, session.found)
        try:
            await _end(broker, session, record, "failed")
        except TraceError as err:  # the closing of the log says it
            _log.error("run_end_not_recorded", run=session.run, fault=type(err).__name__)


async def _end(
    broker: PermissionBroker,
    session: RunState,
    record: Recorder,
    status: Literal["complete", "failed"],
) -> None:
    session.closed = True
    if broker.stopping.sessions.pop(session.run, None) is None:
        return  # its broker closed first
    await _end_sandboxes(broker, session.run)
    record.note(entries.run_end(session, status))
    await record.flush("durable")


@contextmanager
def current(broker: Rings, session: OpenRun) -> Iterator[None]:
    """Makes a session the one that guarded functions called in this context belong to."""
    entered_here = EnteredSession(_handle(broker, session))
    try:
        yield
    finally:
        entered_here.leave()


async def _end_sandboxes(broker: PermissionBroker, run: str) -> None:
    """Nothing a run left in a sandbox is there for another one, or for itself when resumed."""
    with anyio.move_on_after(ENDING_SECONDS, shield=True):
        own = (executor for _, executor in broker.parts.hosted.values())
        for executor in dict.fromkeys((*broker.parts.executors.values(), *own)):
            try:
                await executor.end_run(run)
            except Exception as err:  # noqa: BLE001 - the end of the run is recorded all the same
                _log.error("sandboxes_not_ended", run=run, fault=type(err).__name__)


def _handle(broker: Rings, session: OpenRun) -> CurrentSession:
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

    return CurrentSession(
        broker, session, in_thread=InThread(from_thread), in_task=InTask(here)
    )


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
