"""The outer ring in LangGraph: one call, from the tool node's wrapper to its message."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from langchain_core.messages import ToolMessage
from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt

from permissions.broker.call import Earlier
from permissions.errors import NoSessionError, ToolDefinitionError, ToolFailedError
from permissions.execution.pauses import ASKED_TWICE
from permissions.integrations._langchain_tool import are_wrong_arguments, is_ringed
from permissions.integrations._langgraph_calls import (
    Positions,
    can_suspend,
    definition_of,
    denial_message,
    question,
    tool_call,
    with_note,
)
from permissions.model import Completed, Denial
from permissions.reasons import Code, reason
from permissions.sessions.handle import CurrentSession, at_once
from permissions.tools.context import CURRENT_SESSION, granting
from permissions.tools.denied import CallDenied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.types import Command

    from permissions.sessions.handle import Bridge
    from permissions.sessions.rings import Admitted
    from permissions.tools.call import ToolCall


class CallGuard:
    """The outer ring, in both forms of the wrapper that hosts of a tool node ask for.

    `guard_node` uses it; a LangChain middleware may hand its own calls over to it, as the last
    of `middleware=[...]`, so that nothing comes between the decision and the tool.
    """

    def __init__(self) -> None:
        self._siblings = _Siblings()
        self._positions = Positions()

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        execute: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Decides the call, suspends the graph for a person, runs it, or refuses.

        Raises:
            GraphBubbleUp: LangGraph's own signal that the graph is suspended.
            NoSessionError: no session is open around the graph, or one of another run.
            ToolDefinitionError: the tool is not guarded, or not the one its broker knows.
            Exception: whatever the tool raised, for `handle_tool_errors` to handle.
        """
        handle, call = _asked(request, self._positions)

        async def run() -> ToolMessage | Command[Any]:
            return execute(request)

        while True:
            answer = at_once(_answer(handle, call, request, run, handle.in_thread))
            if not isinstance(answer, Denial):
                return answer
            interrupt(question(answer))

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        execute: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """`wrap_tool_call` for graphs that are awaited; raises the same."""
        handle, call = _asked(request, self._positions)
        info = request.runtime.execution_info
        task = "" if info is None else info.task_id
        run = partial(execute, request)
        while True:
            async with self._siblings.running(task):
                answer = await _answer(handle, call, request, run, handle.in_task)
            if not isinstance(answer, Denial):
                return answer
            await self._siblings.idle(task)
            interrupt(question(answer))


async def _answer(
    handle: CurrentSession,
    call: ToolCall,
    request: ToolCallRequest,
    run: Callable[[], Awaitable[ToolMessage | Command[Any]]],
    via: Bridge,
) -> ToolMessage | Command[Any] | Denial:
    """What the call comes to; a denial when the graph has to be suspended for a person."""
    decided = await handle.admit(call, via)
    if isinstance(decided, Denial):
        waits = decided.kind == "pending" and can_suspend(request)
        return decided if waits else await _refused(decided, request, run)
    approved = not isinstance(decided, Earlier) and decided.request is not None
    if approved and can_suspend(request):
        _use_up_answers()
    with granting(decided) as grant:
        try:
            message = await run()
        except CallDenied as err:
            message = denial_message(err.denial, request)
        except GraphInterrupt:
            if approved:
                raise ToolFailedError(ASKED_TWICE) from None
            raise
        finally:
            unreached = grant.take()
            if unreached and not isinstance(decided, Earlier):
                await handle.withdraw(decided, via)
    if isinstance(grant.void, Denial):
        return denial_message(grant.void, request)
    return _delivered(message, decided, request, unreached=unreached)


def _use_up_answers() -> None:
    """Takes what the graph was resumed with while a person was asked: none of it is the tool's."""
    with suppress(GraphInterrupt):
        while True:
            interrupt(None)


async def _refused(
    denial: Denial,
    request: ToolCallRequest,
    run: Callable[[], Awaitable[ToolMessage | Command[Any]]],
) -> ToolMessage | Command[Any]:
    """A denial as a message; of what the framework refuses too, in its words, as it handles it.

    The grant is void, so that nothing can run under it.
    """
    unknown = request.tool is None
    if not unknown and not (is_ringed(request.tool) and are_wrong_arguments(denial)):
        return denial_message(denial, request)
    with granting(None) as grant:
        grant.take()
        grant.void = denial
        try:
            message = await run()
        except CallDenied:
            return denial_message(denial, request)
    if isinstance(message, ToolMessage) and message.status == "error":
        return message.model_copy(update={"artifact": denial.for_agent()})
    return denial_message(denial, request)


class _Siblings:
    """The calls of each graph task that still run.

    An awaited tool node gathers the calls of one message and leaves the others alone as soon
    as one of them suspends the graph: they would run on behind its back, past the end of the
    session. So a held call waits for its siblings first. (Threads are joined anyway.)
    """

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._idle: dict[str, anyio.Event] = {}

    @asynccontextmanager
    async def running(self, task: str) -> AsyncIterator[None]:
        """Counts a call as running; all of one message are counted before the first goes on."""
        self._running[task] += 1
        try:
            await anyio.lowlevel.checkpoint()
            yield
        finally:
            self._running[task] -= 1
            if not self._running[task]:
                del self._running[task]
                self._idle.pop(task, anyio.Event()).set()

    async def idle(self, task: str) -> None:
        """Waits until none of them is running."""
        while self._running[task]:
            await self._idle.setdefault(task, anyio.Event()).wait()


def _asked(request: ToolCallRequest, positions: Positions) -> tuple[CurrentSession, ToolCall]:
    """The session around the graph, and the call to put to it.

    Raises:
        NoSessionError: no session is open, or one of another run.
        ToolDefinitionError: the tool is not guarded, or not the one its broker knows.
    """
    handle = CURRENT_SESSION.get()
    if not isinstance(handle, CurrentSession):
        raise NoSessionError(
            f"the graph was run outside a broker session, so {request.tool_call['name'][:64]!r}"
            " was not called; run it inside `with broker.session(user=..., run=thread_id):`"
        )
    if request.tool is not None:
        definition = definition_of(request.tool)
        known = handle.broker.known(definition.name)
        if known is not None and known is not definition:
            raise ToolDefinitionError(
                f"the broker knows another function as {definition.name!r} than the tool node;"
                " give both the same decorated function"
            )
    return handle, tool_call(request, handle.session, positions)


def _delivered(
    message: ToolMessage | Command[Any],
    decided: Admitted | Earlier,
    request: ToolCallRequest,
    *,
    unreached: bool,
) -> ToolMessage | Command[Any]:
    """What the framework made of the call, unless the broker withheld it."""
    if unreached:
        if isinstance(message, ToolMessage) and message.status == "error":
            return message  # the framework's own: the arguments did not fit its schema
        call = decided.result.call if isinstance(decided, Earlier) else decided.id
        changed = (reason(Code.CALL_CHANGED),)
        return denial_message(
            Denial(call, request.tool_call["name"], "denied", changed), request
        )
    if isinstance(decided.result, Denial):
        return denial_message(decided.result, request)
    if isinstance(decided.result, Completed) and isinstance(message, ToolMessage):
        return with_note(message, decided.result.left_out())
    return message
