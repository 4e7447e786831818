"""What passes between LangGraph and the broker, as plain values: keys, questions, messages.

Nothing in here decides or runs anything. What goes into a checkpoint is JSON only, small, and
holds no argument of a call: checkpoints are kept by the framework, in a store of its own, and
values of other types come back from there as something else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from langchain_core.messages import ToolMessage

from permissions.errors import NoSessionError
from permissions.signing.canonical import digest
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.types import Interrupt, StateSnapshot

    from permissions.model import Denial, DenialKind, JsonObject
    from permissions.run.state import RunState

QUESTION = "wardline.access_request"
"""`type` of the value of an interrupt that asks for a person's approval."""


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


def tool_call(request: ToolCallRequest, session: RunState) -> ToolCall:
    """The call as the broker knows it, under a key that a resumed graph gives it again.

    The checkpoint a graph task starts from names the turn, in this process and any other, with
    and without `Send`; call ids alone may be reused by a model from turn to turn.

    Raises:
        NoSessionError: the session belongs to another run than the graph's thread.
    """
    asked, key, info = request.tool_call, None, request.runtime.execution_info
    if info is not None:
        if info.thread_id is not None and info.thread_id != session.run:
            raise NoSessionError(
                f"the session's run is {session.run[:80]!r} and the graph's thread is"
                f" {info.thread_id[:80]!r}; open the session with the thread's id as `run`, or a"
                " resumed graph would not find its approvals and results"
            )
        turn = (info.thread_id, info.checkpoint_id, asked["id"])
        key = digest(json.dumps(turn).encode())
    # A name this node has no tool for must not reach a tool of that name elsewhere.
    name = asked["name"] if request.tool is not None else f"{asked['name']} (not offered here)"
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
    told = denial.for_agent()
    return ToolMessage(
        content=json.dumps({**told, "advice": _advice(denial.kind)}, ensure_ascii=False),
        name=request.tool_call["name"],
        tool_call_id=request.tool_call["id"],
        artifact=told,
        status="error",
    )


def held_calls(state: StateSnapshot) -> tuple[HeldCall, ...]:
    """The calls a suspended graph waits with. Interrupts of others are left alone."""
    return tuple(
        HeldCall(interrupt.id, interrupt.value["access_request"], interrupt.value["tool"])
        for interrupt in state.interrupts
        if _is_question(interrupt)
    )


def _is_question(interrupt: Interrupt[Any]) -> bool:
    return isinstance(interrupt.value, dict) and interrupt.value.get("type") == QUESTION


def _advice(kind: DenialKind) -> str:
    match kind:
        case "denied":
            return (
                "Do not repeat this call as it is. Do what is allowed, or say what is missing."
            )
        case "pending":
            return "Wait for the person's answer, then make the same call again."
        case "expired":
            return "Nobody said no, and nobody said yes in time. Ask the person how to go on."
        case "unavailable":
            return "This is no refusal; the same call may be made again later."
        case "in_doubt":
            return "Do not retry this call: it may have had its effect. A person has to look."
        case _:
            assert_never(kind)
