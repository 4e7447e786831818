"""A broker that is a daemon, as programs, adapters and decorated functions meet it.

Each session has a connection of its own, so that it lives as long as the session does: a daemon
that ends takes its sessions with it, every call in hand is answered with a denial, and the next
session connects anew. Nothing is ever decided in this process instead.

A tool without a sandbox runs here, in its caller's own thread or task, between the daemon's
admission and the report of how it ended; any other runs in the daemon.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import orjson

from permissions.broker.call import Earlier
from permissions.errors import (
    ArgumentsError,
    BrokerError,
    DelegationError,
    NoSessionError,
    ServiceError,
    ToolFailedError,
)
from permissions.execution.base import Execution
from permissions.execution.in_process import ENFORCED
from permissions.model import Completed, Denial, Subject
from permissions.reasons import Code, reason
from permissions.run.delegation import Delegation, delegation_from
from permissions.service import wire
from permissions.service.frames import VERSION
from permissions.service.link import Link, Reloads
from permissions.service.tasks import beside
from permissions.sessions.scope import current
from permissions.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from typing import Unpack

    from permissions.broker.explanation import Explanation
    from permissions.execution.base import Outcome
    from permissions.model import CallResult, Digest, JsonObject
    from permissions.run.state import SessionOptions
    from permissions.service.dial import Dial
    from permissions.sessions.rings import OpenRun
    from permissions.tools.call import ToolCall
    from permissions.tools.definition import ToolDefinition

_ELSEWHERE = object()
"""In the place of an executor: the daemon has it."""


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """A session that is open in the daemon."""

    run: str
    subject: Subject
    workspace: Path
    link: Link


@dataclass(slots=True)
class RemoteAdmission:
    """Permission to run one call once, as `permissions.broker.call.Admission`."""

    id: str
    definition: ToolDefinition
    args_digest: Digest
    execution: Execution
    executor: object | None
    session: RemoteRun
    enforced: JsonObject
    result: CallResult | None = None
    asked_digest: Digest | None = None
    request: str | None = None


class RemoteBroker:
    """A daemon's broker, in the place of `PermissionBroker`. See `permissions.sessions.rings`."""

    def __init__(self, dial: Dial, tools: Iterable[object]) -> None:
        """Connects to nothing yet.

        Args:
            dial: the way to the daemon.
            tools: decorated functions, the same that the daemon knows.

        Raises:
            ToolDefinitionError: one cannot be defined, or two share a name.
        """
        self._dial = dial
        self.registry = ToolRegistry(tools)
        self._reloads = Reloads()
        self._process: int | None = None

    @property
    def reloaded(self) -> anyio.Event:
        """As of `PermissionBroker`; set while a session is open."""
        return self._reloads.event

    @property
    def is_forked(self) -> bool:
        """Whether its session was opened before this process was forked.

        A broker without a session has nothing that a fork could spoil: a child opens sessions
        of its own.
        """
        return self._process not in (None, os.getpid())

    def require_own_process(self) -> None:
        """Checks that this is the process that opened its session.

        Raises:
            NoSessionError: it is a forked child.
        """
        if self.is_forked:
            raise NoSessionError(
                f"this process ({os.getpid()}) was forked from the one that opened the session"
                f" ({self._process}), so nothing was run; open a session after the fork"
            )

    def _of_this_process(self) -> RemoteBroker:
        bound = copy(self)
        bound._process = os.getpid()  # noqa: SLF001 - its own
        return bound

    def known(self, name: str) -> ToolDefinition | None:
        """The tool of that name, or None."""
        return self.registry.find(name)

    @asynccontextmanager
    async def session(self, **options: Unpack[SessionOptions]) -> AsyncIterator[RemoteRun]:
        """Opens a session in the daemon and makes it current in this context.

        Raises:
            ServiceError: the daemon cannot be reached, knows other tools, or this account may
                not say what `options` say.
            BrokerError: as `permissions.sessions.open.open_session`.
        """
        async with self._opened(self._opening(options)) as run:
            yield run

    async def warrant(
        self,
        parent: RemoteRun,
        *,
        agent: str,
        may: Delegation | Mapping[str, Any],
        task: str = "",
        run: str | None = None,
    ) -> str:
        """See `permissions.sessions.delegate.warrant_for`."""
        given = may if isinstance(may, Delegation) else delegation_from(may)
        if parent.link.closed:
            raise DelegationError(f"run {parent.run[:80]!r} cannot send anybody: it has ended")
        form = given.model_dump(mode="json")
        answer = await parent.link.ask("warrant", agent=agent, may=form, task=task, run=run)
        made: str = answer["warrant"]
        return made

    @asynccontextmanager
    async def warranted(self, warrant: str) -> AsyncIterator[RemoteRun]:
        """See `permissions.sessions.delegate.open_warranted`."""
        async with self._opened({"warrant": warrant, **self._known()}) as run:
            yield run

    @asynccontextmanager
    async def delegate(
        self,
        parent: RemoteRun,
        *,
        agent: str,
        may: Delegation | Mapping[str, Any],
        task: str = "",
        run: str | None = None,
    ) -> AsyncIterator[RemoteRun]:
        """See `permissions.sessions.delegate.open_delegate`; the session has its own connection."""
        made = await self.warrant(parent, agent=agent, may=may, task=task, run=run)
        async with self.warranted(made) as sent:
            yield sent

    @asynccontextmanager
    async def _opened(self, opening: JsonObject) -> AsyncIterator[RemoteRun]:
        frames = await self._dial.frames()
        link = Link(frames, self._reloads)
        try:
            async with beside() as tasks:
                tasks.start_soon(link.read)
                opened = await link.ask("open", **opening)
                run = RemoteRun(
                    run=opened["run"],
                    subject=Subject(**opened["subject"]),
                    workspace=Path(opened["workspace"]),
                    link=link,
                )
                failed = True
                try:
                    with current(self._of_this_process(), run):
                        yield run
                    failed = False
                finally:
                    with anyio.CancelScope(shield=True), suppress(ServiceError):
                        await link.ask("close", failed=failed)
        finally:
            link.close()
            await frames.close()

    def _opening(self, options: SessionOptions) -> JsonObject:
        plan, workspace = options.get("plan"), options.get("workspace")
        return {
            **options,
            **self._known(),
            "roles": [*options.get("roles", ())],
            "plan": None if plan is None else plan.document(),
            "workspace": None if workspace is None else str(workspace.resolve()),
        }

    def _known(self) -> JsonObject:
        tools = {each.name: each.digest for each in self.registry}
        return {"version": VERSION, "tools": tools}

    async def call(self, session: RemoteRun, call: ToolCall) -> CallResult:
        """Takes a call through all steps; see `PermissionBroker.call`."""
        from permissions.execution.in_process import run_async

        admitted = await self.admit(session, call)
        if isinstance(admitted, Denial):
            return admitted
        if isinstance(admitted, Earlier):
            return admitted.result
        if admitted.executor is not None:
            return await self.complete(admitted)
        return await self.settle(admitted, await run_async(admitted.execution, {}))

    async def explain(self, session: RemoteRun, call: ToolCall) -> Explanation:
        """See `PermissionBroker.explain`."""
        answer = await session.link.ask("explain", **_call_form(call, self.known(call.tool)))
        return wire.explanation_of(answer["explained"])

    async def possible(
        self, session: OpenRun, tools: Iterable[ToolDefinition]
    ) -> frozenset[str]:
        """As `permissions.setup.listing.Listing.possible`; all of them where nobody can tell."""
        everything = frozenset(each.name for each in tools)
        if not isinstance(session, RemoteRun):
            return everything
        try:
            answer = await session.link.ask("possible", tools=sorted(everything))
        except BrokerError:
            return everything
        return everything.intersection(answer["possible"])

    async def admit(
        self, session: RemoteRun, call: ToolCall
    ) -> RemoteAdmission | Earlier | Denial:
        """See `PermissionBroker.admit`. A daemon that cannot be asked is a denial."""
        definition = self.known(call.tool)
        if session.link.closed:  # a late background task's
            over = reason(Code.SESSION_CLOSED)
            return Denial("", call.tool[:64], "denied", (over,))
        try:
            answer = await session.link.ask("admit", **_call_form(call, definition))
        except ServiceError as err:
            why = reason(Code.BROKER_UNREACHABLE, str(err))
            return Denial("", call.tool[:64], "unavailable", (why,))
        if "denial" in answer:
            return wire.denial_of(answer["denial"])
        if definition is None:
            raise ServiceError(
                f"the daemon admitted {call.tool[:80]!r}, which nobody knows here"
            )
        if "earlier" in answer:
            earlier = wire.result_of(answer["earlier"], definition)
            if isinstance(earlier, Denial):
                return earlier
            return Earlier(
                earlier, definition, answer["args_digest"], answer.get("asked_digest")
            )
        return _admission(answer["admitted"], definition, call, session)

    async def complete(self, admission: RemoteAdmission) -> CallResult:
        """See `PermissionBroker.complete`, of a call that the daemon runs."""
        link = admission.session.link
        try:
            answer = await link.ask("complete", call=admission.id)
        except ServiceError as err:
            return _unknown(admission, err)
        admission.result = wire.result_of(answer, admission.definition)
        return admission.result

    async def settle(self, admission: RemoteAdmission, outcome: Outcome) -> CallResult:
        """Reports how a call ended that ran here; see `PermissionBroker.settle`.

        Raises:
            Exception: `outcome.error`, once it is recorded.
        """
        definition = admission.definition
        admission.session.link.let_go(admission.id)
        form = wire.outcome_form(definition, outcome)
        try:
            answer = await admission.session.link.ask("settle", call=admission.id, outcome=form)
        except ServiceError as err:
            admission.result = _unknown(admission, err)
            return admission.result
        if "raised" in answer and outcome.error is not None:
            shown = answer["raised"]
            raise outcome.error if shown is None else ToolFailedError(shown)
        admission.result = (
            wire.denial_of(answer["denial"])
            if "denial" in answer
            else _settled(answer["settled"], definition, outcome)
        )
        return admission.result


def _settled(form: JsonObject, definition: ToolDefinition, outcome: Outcome) -> Completed:
    value = wire.typed(definition, form["json"]) if "json" in form else outcome.value
    return Completed(form["call"], definition.name, value)


def _unknown(admission: RemoteAdmission, err: ServiceError) -> Denial:
    """The call was admitted, and the daemon did not take down how it ended."""
    why = reason(Code.RESULT_WITHHELD, f"its end is not on record: {err}")
    return Denial(admission.id, admission.definition.name, "unavailable", (why,))


def _admission(
    form: JsonObject, definition: ToolDefinition, call: ToolCall, session: RemoteRun
) -> RemoteAdmission:
    execution = Execution(
        definition=definition,
        arguments=definition.validate(
            call.arguments if form.get("arguments") is None else form["arguments"]
        ),
        targets=form["targets"],
        workspace=session.workspace,
        profile=None,
        deadline_seconds=form["deadline_seconds"],
        run=session.run,
    )
    if not form["runs_here"]:
        session.link.hold(form["call"], execution.halt)
    return RemoteAdmission(
        id=form["call"],
        definition=definition,
        args_digest=form["args_digest"],
        execution=execution,
        executor=_ELSEWHERE if form["runs_here"] else None,
        session=session,
        enforced=dict(ENFORCED),
        asked_digest=form.get("asked_digest"),
        request=form.get("request"),
    )


def _call_form(call: ToolCall, definition: ToolDefinition | None) -> JsonObject:
    """A call with its arguments as JSON: the given ones as they read, whatever they are."""
    arguments: Any = call.arguments
    with suppress(ArgumentsError):
        if definition is not None:
            arguments = definition.validate(arguments).given
    try:
        arguments = orjson.loads(orjson.dumps(dict(arguments)))
    except (TypeError, ValueError, RecursionError):
        arguments = None  # which no tool takes
    return {"tool": call.tool, "arguments": arguments, "key": call.key, "caller": call.caller}
