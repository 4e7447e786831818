"""One session of one client, from the first frame of its connection to the last.

::

    client                                       daemon
    open: version, tools, subject, run, ...  ->  opened: run, subject, workspace
    admit: tool, arguments, key              ->  admitted (run it here or there), earlier, denial
    complete: call                           ->  the result, of a call that the daemon runs
    settle: call, outcome                    ->  the result, of a call that the client ran
    explain: tool, arguments                 ->  what would be decided
    possible: tools                          ->  those that policies could allow at all
    warrant: agent, may, task, run           ->  what opens a sub-agent's session: open: warrant
    cancel: of                                   (no answer; the question's own says how it ended)
                                             <-  stop: call, that a person stopped
                                             <-  reloaded: other policies are in force
    close                                    ->  closed

Every frame but `cancel` has a number, `id`, which its answer has too. Calls are decided at the
same time; their answers come in any order. Longer than others because all that a session may
ask, and what becomes of it when the client is gone, is told here once.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

import anyio

from permissions.broker.call import Admission, Earlier
from permissions.errors import BrokerError, DelegationError, ServiceError
from permissions.execution.in_process import STOPPED_BEFORE
from permissions.logs import get_logger
from permissions.model import Completed, Denial
from permissions.reasons import Code, reason, shown
from permissions.service import wire
from permissions.service.frames import PeerGoneError
from permissions.service.opening import require_tools, require_version, session_options
from permissions.service.standing import Standing
from permissions.service.tasks import beside
from permissions.service.warrant import (
    WARRANT_SECONDS,
    Warrant,
    read_warrant,
    sign_warrant,
)
from permissions.sessions.answerable import is_one_persons
from permissions.sessions.delegate import delegable, open_delegate
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from permissions.broker.broker import PermissionBroker
    from permissions.model import JsonObject, Reason
    from permissions.run.state import RunState
    from permissions.service.clients import Client
    from permissions.service.frames import Frames
    from permissions.service.load import Load
    from permissions.service.meter import Meter
    from permissions.signing.keys import Signer
    from permissions.tools.definition import ToolDefinition

    Possible = Callable[[RunState, Iterable[ToolDefinition]], Awaitable[frozenset[str]]]
    """The names of the tools that policies could allow to the subject of a session."""

AT_ONCE = 64
"""Questions of one session in hand; no more is read from it until one of them is answered."""
_OWN = "permissions.sessions.plan_tools"
"""The module of the tools that are the broker's own."""
_log = get_logger("service.conversation")


class ClientGoneError(ServiceError):
    """The connection ended without `close`."""


async def serve_session(
    broker: PermissionBroker,
    frames: Frames,
    client: Client,
    asked: JsonObject,
    *,
    signer: Signer,
    find: Callable[[], Awaitable[Client]],
    changes: Callable[[], int],
    stopping: anyio.Event,
    meter: Meter,
    load: Load,
    possible: Possible,
) -> None:
    """Opens the session that the first frame (`asked`) asks for, and answers until it is closed.

    Raises:
        ServiceError: what came is not understood, or not this client's to ask.
        BrokerError: the session cannot be opened.
    """
    require_version(asked)
    if isinstance(warrant := asked.get("warrant"), str):
        sent = read_warrant(warrant, signer, now=broker.parts.clock())
        client.require(user=None, agent=sent.agent, roles=())
        standing = Standing(find, changes, None, sent.agent, (), None)
        opening = _sent(broker, sent)
    else:
        options = session_options(asked, client)
        standing = Standing(
            find,
            changes,
            asked.get("user"),
            asked.get("agent"),
            options["roles"],
            asked.get("workspace"),
        )
        opening = open_session(broker, **options)
    require_tools(broker, asked.get("tools"))
    try:
        async with opening as session:
            await frames.send(
                {
                    "id": asked["id"],
                    "run": session.run,
                    "subject": session.subject.document(),
                    "workspace": str(session.workspace),
                }
            )
            talk = _Conversation(
                broker,
                frames,
                client,
                session,
                signer=signer,
                standing=standing,
                stopping=stopping,
                meter=meter,
                load=load,
                possible=possible,
            )
            await talk.hold()
    except ClientGoneError:
        _log.warning("client_gone", client=client.name)


class _Conversation:
    """The questions of one open session."""

    def __init__(
        self,
        broker: PermissionBroker,
        frames: Frames,
        client: Client,
        session: RunState,
        *,
        signer: Signer,
        standing: Standing,
        stopping: anyio.Event,
        meter: Meter,
        load: Load,
        possible: Possible,
    ) -> None:
        self._broker = broker
        self._possible = possible
        self._signer = signer
        self._standing = standing
        self._revoked = anyio.Event()
        self._frames = frames
        self._client = client
        self._session = session
        self._stopping = stopping
        self._meter = meter
        self._load = load
        self._admitted: dict[str, Admission] = {}
        self._asked: dict[int, anyio.CancelScope] = {}
        self._room = anyio.Semaphore(AT_ONCE, fast_acquire=True)
        self._change = anyio.Event()
        self._tasks: TaskGroup

    async def hold(self) -> None:
        """Answers until `close`.

        Raises:
            ClientGoneError: the connection ended before that.
            ServiceError: a frame is not understood.
        """
        try:
            async with beside() as self._tasks:
                tasks = self._tasks
                tasks.start_soon(self._hang_up, self._stopping)
                tasks.start_soon(self._hang_up, self._revoked)
                tasks.start_soon(self._say_reloads)
                while (frame := await self._next())["do"] != "close":
                    if frame["do"] == "cancel":
                        self._cancel(frame.get("of"))
                        continue
                    await self._room.acquire()
                    scope = self._asked[frame["id"]] = anyio.CancelScope()
                    tasks.start_soon(self._answer, frame, scope)
                while self._asked:  # by other tasks of the client, which still wait
                    await self._change.wait()
            await self._frames.send({"id": frame["id"], "closed": True})
            if frame.get("failed") is True:
                raise ClientGoneError("the client's program left its session by an exception")
        finally:
            await self._abandon()

    async def _hang_up(self, over: anyio.Event) -> None:
        """Ends the connection when nothing new is taken, once what is in hand has ended."""
        await over.wait()
        while self._asked or self._admitted:
            await self._change.wait()
        await self._frames.close()

    def _stop(self, call: str) -> None:
        """Has the client end a call that it runs, as far as it can."""
        self._tasks.start_soon(self._say_stop, call)

    async def _say_stop(self, call: str) -> None:
        with suppress(ServiceError):  # which ends this conversation where it is read
            await self._frames.send({"id": 0, "stop": call})

    async def _say_reloads(self) -> None:
        reloaded = self._broker.reloaded
        while True:
            await reloaded.wait()
            reloaded = self._broker.reloaded  # before it is said: what comes meanwhile counts
            with suppress(ServiceError):  # which ends this conversation where it is read
                await self._frames.send({"id": 0, "reloaded": True})

    def _cancel(self, number: object) -> None:
        scope = self._asked.get(number) if isinstance(number, int) else None
        if scope is not None:
            scope.cancel()

    def _changed(self) -> None:
        """Has those who wait for less to be in hand look again."""
        self._change.set()
        self._change = anyio.Event()

    async def _next(self) -> JsonObject:
        frame = await self._frames.receive()
        if frame is None:
            raise ClientGoneError("the client is gone, or the daemon stops")
        number, do = frame.get("id"), frame.get("do")
        if type(number) is not int or number in self._asked or not isinstance(do, str):
            raise ServiceError(
                "a question has no number of its own, or does not say what to do"
            )
        return frame

    async def _answer(self, frame: JsonObject, scope: anyio.CancelScope) -> None:
        number, began = frame["id"], time.perf_counter()
        try:
            with scope:
                try:
                    said = await self._said(frame)
                except BrokerError as err:
                    said = wire.error_form(err)
            if scope.cancelled_caught:
                said = wire.error_form(ServiceError("the question was withdrawn"))
            try:
                await self._frames.send({"id": number, **said})
            except PeerGoneError:
                pass  # which ends this conversation where it is read
            except ServiceError as err:  # no JSON, or too much of it
                await self._frames.send({"id": number, **wire.error_form(err)})
        finally:
            self._meter.answered(frame["do"], time.perf_counter() - began)
            self._asked.pop(number, None)
            self._room.release()
            self._changed()

    async def _said(self, frame: JsonObject) -> JsonObject:
        match frame["do"]:
            case "admit":
                return await self._admit(_call(frame))
            case "explain":
                await self._require_standing()
                explained = await self._broker.explain(self._session, _call(frame))
                return {"explained": wire.explanation_form(explained)}
            case "possible":
                await self._require_standing()
                return {"possible": await self._could_be_allowed(frame.get("tools"))}
            case "warrant":
                await self._require_standing()
                return {"warrant": await self._warrant(frame)}
            case "complete":
                admission = self._taken(frame, here=True)
                with self._load.taken(self._client):
                    result = await self._broker.complete(admission)
                return wire.result_form(result, admission.definition)
            case "settle":
                return await self._settle(self._taken(frame, here=False), frame)
            case other:
                raise ServiceError(f"nobody knows how to {other[:40]!r} here")

    async def _could_be_allowed(self, names: object) -> list[str]:
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ServiceError("the tools that are asked about are not of the form")
        known = [self._broker.known(name) for name in dict.fromkeys(names)]
        with self._load.taken(self._client):
            found = await self._possible(self._session, [each for each in known if each])
        return sorted(found)

    async def _warrant(self, frame: JsonObject) -> str:
        agent, task, run = frame.get("agent"), frame.get("task"), frame.get("run")
        may, broker = frame.get("may"), self._broker
        if not (
            isinstance(agent, str)
            and isinstance(task, str)
            and (run is None or isinstance(run, str))
            and isinstance(may, dict)
        ):
            raise ServiceError("what a sub-agent is sent with is not of the form")
        given = await delegable(broker, self._session, agent=agent, may=may, run=run)
        until = broker.parts.clock() + WARRANT_SECONDS * 1_000_000
        name = run or broker.parts.ids("run")
        warrant = Warrant(self._session.run, name, agent, given, task, until)
        return sign_warrant(warrant, self._signer)

    async def _hindrance(self) -> Reason | None:
        """Why no call is taken now, which costs no evaluation and no entry; None when one is."""
        try:
            await self._require_standing()
        except ServiceError as err:
            return reason(Code.SERVICE_REVOKED, str(err))
        if self._stopping.is_set():
            return reason(Code.SERVICE_STOPPING)
        if (excess := self._load.excess(self._client)) is not None:
            return reason(Code.SERVICE_OVERLOADED, excess)
        return None

    async def _require_standing(self) -> None:
        try:
            await self._standing.check()
        except ServiceError as err:
            if not self._revoked.is_set():
                _log.warning("session_revoked", client=self._client.name, cause=str(err)[:300])
            self._revoked.set()
            raise

    async def _admit(self, call: ToolCall) -> JsonObject:
        if (why := await self._hindrance()) is not None:
            return wire.denial_form(Denial("", shown(call.tool[:64]), "unavailable", (why,)))
        with self._load.taken(self._client):
            decided = await self._broker.admit(self._session, call)
        if isinstance(decided, Denial):
            one_person = await is_one_persons(self._broker, decided)
            return {**wire.denial_form(decided), "one_person": one_person}
        if isinstance(decided, Earlier):
            earlier = wire.result_form(decided.result, decided.definition, reported=True)
            return {
                "earlier": earlier,
                "args_digest": decided.args_digest,
                "asked_digest": decided.asked_digest,
            }
        self._admitted[decided.id] = decided
        execution = decided.execution
        if not _runs_here(decided) and not execution.halt.begin(
            partial(self._stop, decided.id)
        ):
            del self._admitted[decided.id]
            return wire.result_form(
                await self._broker.settle(decided, STOPPED_BEFORE), decided.definition
            )
        return {
            "admitted": {
                "call": decided.id,
                "args_digest": decided.args_digest,
                "runs_here": _runs_here(decided),
                "targets": [*execution.targets],
                "deadline_seconds": execution.deadline_seconds,
                "asked_digest": decided.asked_digest,
                "request": decided.request,
                # What the client asked for, unless a person edited it.
                "arguments": None
                if decided.asked_digest is None
                else decided.question.arguments.document,
            }
        }

    async def _settle(self, admission: Admission, frame: JsonObject) -> JsonObject:
        form = frame.get("outcome")
        if not isinstance(form, dict):
            raise ServiceError("an outcome is not of the form")
        outcome = wire.outcome_of(form, client=self._client.name)
        try:
            result = await self._broker.settle(admission, outcome)
        except Exception as err:  # the tool's own, or what may be shown of it
            if outcome.error is None:
                raise
            return {"raised": None if err is outcome.error else str(err)}
        if isinstance(result, Completed):
            same = result.value is outcome.value
            return {
                "settled": {"call": result.call, **({} if same else {"json": result.value})}
            }
        return wire.denial_form(result)

    def _taken(self, frame: JsonObject, *, here: bool) -> Admission:
        """The admission that a frame names; it is used up by this."""
        call = frame.get("call")
        found = self._admitted.get(call) if isinstance(call, str) else None
        if found is None:
            raise ServiceError("no call of this session is admitted under that id")
        if _runs_here(found) is not here:
            raise ServiceError("that call is not run where this says")
        del self._admitted[found.id]
        return found

    async def _abandon(self) -> None:
        """Leaves in doubt what the client was to run, and gives back what it never began."""
        with anyio.CancelScope(shield=True):
            for admission in self._admitted.values():
                try:
                    await self._broker.abandon(admission)
                except BrokerError as err:
                    _log.error("call_not_abandoned", call=admission.id, cause=str(err)[:300])
            self._admitted.clear()


def _runs_here(admission: Admission) -> bool:
    """Whether the daemon runs it: in a sandbox, or because it is the broker's own tool."""
    return admission.executor is not None or admission.definition.function.__module__ == _OWN


def _call(frame: JsonObject) -> ToolCall:
    tool, arguments = frame.get("tool"), frame.get("arguments")
    key, caller = frame.get("key"), frame.get("caller", "direct")
    if not (
        isinstance(tool, str)
        and (arguments is None or isinstance(arguments, dict))
        and (key is None or isinstance(key, str))
        and isinstance(caller, str)
    ):
        raise ServiceError("a call is not of the form")
    return ToolCall(tool, cast("JsonObject", arguments), key, caller)


def _sent(broker: PermissionBroker, warrant: Warrant) -> AbstractAsyncContextManager[RunState]:
    """The session of a sub-agent, below that of who sent it."""
    parent = broker.stopping.sessions.get(warrant.parent)
    if parent is None:
        raise DelegationError(
            f"run {warrant.parent[:80]!r}, which sent this sub-agent, has no open session"
        )
    return open_delegate(
        broker,
        parent,
        agent=warrant.agent,
        may=warrant.may,
        task=warrant.task,
        run=warrant.run,
    )
