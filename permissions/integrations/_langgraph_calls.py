"""What passes between LangGraph and the broker, as plain values: keys, questions, messages.

Nothing in here decides or runs anything. What goes into a checkpoint is JSON only, small, and
holds no argument of a call: checkpoints are kept by the framework, in a store of its own, and
values of other types come back from there as something else.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as framework_tool

from permissions.errors import NoSessionError, ToolDefinitionError
from permissions.integrations._langchain_tool import is_ringed, ringed
from permissions.sessions.told import told
from permissions.signing.canonical import digest
from permissions.tools.call import ToolCall
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from langgraph.prebuilt.tool_node import ToolCallRequest, ToolRuntime
    from langgraph.types import Interrupt, StateSnapshot

    from permissions.model import Denial, JsonObject
    from permissions.sessions.rings import OpenRun
    from permissions.tools.definition import ToolDefinition

QUESTION = "wardline.access_request"
"""`type` of the value of an interrupt that asks for a person's approval."""

EXECUTIONS = 1024
"""Executions of graph tasks whose calls are remembered; more than run at once."""


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call of a suspended graph that waits for a person.

    Attributes:
        interrupt: id of LangGraph's interrupt, by which the graph is resumed.
        access_request: id of the broker's access request, by which people answer.
        tool: the tool's name.
    """

    interrupt: str
    access_request: str
    tool: str


def definition_of(given: BaseTool) -> ToolDefinition:
    """The guarded tool that a framework's tool is, or is made from, and of nothing else.

    Raises:
        ToolDefinitionError: there is none, or it goes by another name.
    """
    functions = [getattr(given, name, None) for name in ("func", "coroutine")]
    if not is_ringed(given) and sum(each is not None for each in functions) != 1:
        raise ToolDefinitionError(
            f"{given.name} is not guarded, or not made from one function alone; put it under the"
            " broker with `wardline.guard(...)`, and give what that gives"
        )
    definition = guard_of(given).definition
    if definition.name != given.name:
        raise ToolDefinitionError(
            f"the tool {given.name!r} is {definition.name!r} to the broker; give both one name"
        )
    return definition


def langchain_tool(given: object) -> BaseTool:
    """A guarded tool as LangChain's own.

    Args:
        given: a function decorated with `wardline.tool`, what `wardline.guard` gave, or a
            LangChain tool made from one of them.

    Raises:
        ToolDefinitionError: it is not guarded, or has another name here than there.
    """
    if isinstance(given, BaseTool):
        definition_of(given)
        return given
    guard = guard_of(given)
    definition = guard.definition
    if isinstance(guard.framework_tool, BaseTool):
        if guard.framework_tool.name != definition.name:
            named = guard.framework_tool.model_copy(update={"name": definition.name})
            return ringed(named, guard)
        return ringed(guard.framework_tool, guard)
    make = framework_tool(
        definition.name, description=definition.description or definition.name
    )
    return make(cast("Callable[..., Any]", given))


class Positions:
    """Where the calls of one graph task stand in their message, as far as it matters.

    A call is known by its tool, arguments and id, and the task by the checkpoint it starts
    from; a model or a provider may give several calls of one message the same id, or none. Of
    calls that are alike in all of that it only counts which of them one is, and since they are
    alike, it does not matter in which order they come when a graph is resumed.

    Each call of an execution has its own `ToolRuntime`, which a wrapper that changes or retries
    a request passes on.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._executions: OrderedDict[Hashable, dict[Hashable, list[ToolRuntime]]] = (
            OrderedDict()
        )

    def number(self, request: ToolCallRequest, tool: str) -> int:
        """Which of the calls that are alike this one is, from 0."""
        asked, runtime = request.tool_call, request.runtime
        info = runtime.execution_info
        execution: Hashable = None
        if info is not None:
            execution = (info.task_id, info.node_attempt, info.node_first_attempt_time)
        alike = (asked["id"], tool, _told_apart(asked["args"]))
        with self._lock:
            calls = self._executions.setdefault(execution, {})
            self._executions.move_to_end(execution)
            while len(self._executions) > EXECUTIONS:
                self._executions.popitem(last=False)
            seen = calls.setdefault(alike, [])
            for number, each in enumerate(seen):
                if each is runtime:
                    return number
            seen.append(runtime)
            return len(seen) - 1


def _told_apart(arguments: Any) -> str:
    try:
        return json.dumps(arguments, sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):
        return repr(arguments)


def tool_call(request: ToolCallRequest, session: OpenRun, positions: Positions) -> ToolCall:
    """The call as the broker knows it, under a key that a resumed graph gives it again.

    The checkpoint a graph task starts from names the turn, in this process and any other, with
    and without `Send`; call ids alone may be reused by a model from turn to turn, and within
    one message. The tool is the one that will run, whatever name the model gave: a wrapper may
    have put another in its place.

    Raises:
        NoSessionError: the session belongs to another run than the graph's thread.
        ToolDefinitionError: the tool is not guarded.
    """
    asked, key, info = request.tool_call, None, request.runtime.execution_info
    # A name this node has no tool for must not reach a tool of that name elsewhere.
    name = f"{asked['name']} (not offered here)"
    if request.tool is not None:
        name = definition_of(request.tool).name
    if info is not None:
        if info.thread_id is not None and info.thread_id != session.run:
            raise NoSessionError(
                f"the session's run is {session.run[:80]!r} and the graph's thread is"
                f" {info.thread_id[:80]!r}; open the session with the thread's id as `run`, or a"
                " resumed graph would not find its approvals and results"
            )
        turn = (info.thread_id, info.checkpoint_ns, info.checkpoint_id, info.task_id)
        position = (asked["id"], positions.number(request, name))
        key = digest(json.dumps([*turn, *position]).encode())
    return ToolCall(name, asked["args"], key=key, caller="langgraph")


def can_suspend(request: ToolCallRequest) -> bool:
    """Whether the graph can be suspended and resumed: it has a thread."""
    info = request.runtime.execution_info
    return info is not None and info.thread_id is not None


def question(denial: Denial) -> JsonObject:
    """The value of the interrupt: where people answer, and nothing of the call itself."""
    return {
        "type": QUESTION,
        "access_request": denial.access_request,
        "tool": denial.tool,
        "summary": f"{denial.tool} waits for a person's approval",
        "hint": f"wardline request show {denial.access_request}",
    }


def denial_message(denial: Denial, request: ToolCallRequest) -> ToolMessage:
    """A denial as the model sees it, and as programs find it (`artifact`)."""
    return ToolMessage(
        content=json.dumps(told(denial), ensure_ascii=False),
        name=request.tool_call["name"],
        tool_call_id=request.tool_call["id"],
        artifact=denial.for_agent(),
        status="error",
    )


def with_note(message: ToolMessage, note: str) -> ToolMessage:
    """A tool's message, and below it what the broker says of it; content of either form."""
    if not note:
        return message
    content = message.content
    said = (
        f"{content}\n\n{note}"
        if isinstance(content, str)
        else [*content, {"type": "text", "text": note}]
    )
    return message.model_copy(update={"content": said})


def held_calls(state: StateSnapshot) -> tuple[HeldCall, ...]:
    """The calls a suspended graph waits with. Interrupts of others are left alone."""
    return tuple(
        HeldCall(interrupt.id, interrupt.value["access_request"], interrupt.value["tool"])
        for interrupt in state.interrupts
        if _is_question(interrupt)
    )


def _is_question(interrupt: Interrupt[Any]) -> bool:
    return isinstance(interrupt.value, dict) and interrupt.value.get("type") == QUESTION
