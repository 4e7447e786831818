"""What a tool returns reaches the graph as without a broker, also when its node runs again.

Each call stands beside one that waits for a person. When that is approved the node runs again,
and every other call gives its stored result: the messages and the state are those that a plain
`ToolNode` makes of the same functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from graphs import Asked, Form, World, turn
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId
from langchain_core.tools import tool as framework_tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from pydantic import BaseModel

from permissions.integrations.langgraph import guard_node
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import Callable


class State(MessagesState):
    """With a field that a tool updates."""

    owner: str


class Model(BaseModel):
    """Unannotated, it used to come back as a dictionary."""

    a: int


@dataclass
class Data:
    """The same."""

    a: int


VALUES: dict[str, Any] = {
    "text": "plain",
    "surrogate": "a\udcffb",
    "bytes": b"\xff\x00",
    "big": 2**80,
    "nan": math.nan,
    "set": {7},
    "tuple": (1, "a"),
    "keys": {1: "a"},
    "model": Model(a=1),
    "data": Data(1),
    "decimal": Decimal("1.10"),
    "nothing": None,
    "handle": iter,
}


def functions(ran: list[str]) -> dict[str, Callable[..., Any]]:
    """Plain functions, as yet under no broker."""

    def giving(name: str, value: Any) -> Callable[..., Any]:
        def give() -> Any:
            ran.append(name)
            return value

        give.__name__ = give.__qualname__ = f"give_{name}"
        give.__doc__ = "Gives."
        return give

    def handoff(call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Updates the state."""
        ran.append("handoff")
        said = ToolMessage("handed over", tool_call_id=call_id)
        return Command(update={"messages": [said], "owner": "billing"})

    def speak(call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Makes its own message."""
        ran.append("speak")
        return ToolMessage("own words", tool_call_id=call_id, artifact={"rows": (1, {2})})

    def rows() -> Any:
        """Content and artifact."""
        ran.append("rows")
        return "content", Data(1)

    made = {f"give_{name}": giving(name, value) for name, value in VALUES.items()}
    return {**made, "handoff": handoff, "speak": speak, "rows": rows}


def framework_form(name: str, function: Any) -> Any:
    kind = "content_and_artifact" if name == "rows" else "content"
    return framework_tool(name, description="d", response_format=kind)(function)


def graph_of(node: Any, message: Any, saver: Any = None) -> Any:
    builder = StateGraph(State)
    builder.add_node("llm", lambda _: {"messages": [message]})
    builder.add_node("tools", node)
    builder.add_edge(START, "llm")
    builder.add_edge("llm", "tools")
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=saver)


def seen(state: dict[str, Any]) -> dict[str, Any]:
    """What the graph got: content, status and artifact of each message, and the state."""
    messages = [each for each in state["messages"] if isinstance(each, ToolMessage)]
    told = {each.tool_call_id: (each.content, each.status, each.artifact) for each in messages}
    return {**{key: repr(value) for key, value in told.items()}, "owner": state.get("owner")}


def deleting(ran: list[str]) -> Any:
    @tool(effect="write", impact="high")
    def delete(name: str) -> str:
        """Needs a person."""
        ran.append(f"delete {name}")
        return f"deleted {name}"

    return delete


@pytest.mark.parametrize("form", [Form("sync", "sync", "sync"), Form("async", "async", "sync")])
async def test_results_are_those_of_a_plain_node_after_a_resume(
    form: Form, tmp_path: Any
) -> None:
    def guarded(_: str, ran: list[str]) -> list[Any]:
        made = functions(ran).values()
        return [*(tool(effect="read", impact="low")(each) for each in made), deleting(ran)]

    names = [*functions([]), "delete"]
    calls = [Asked(name, {"name": "a"} if name == "delete" else {}, name) for name in names]
    plain = ToolNode(
        [*(framework_form(*each) for each in functions([]).items())], handle_tool_errors=False
    )
    expected = seen(
        graph_of(plain, turn(*calls[:-1])).invoke({"messages": [HumanMessage("go")]})
    )
    world = World(form, tmp_path, make=guarded)
    tools = [framework_form(each.guard.definition.name, each) for each in world.tools]
    graph = graph_of(guard_node(tools), turn(*calls), world.saver)

    async with world.session():
        await world.run(graph)
        await world.vote('"a"')
        found = seen(await world.resume(graph))

    assert found.pop("delete") == repr(("deleted a", "success", None))
    assert found == expected
    assert sorted(world.ran) == sorted([*VALUES, "handoff", "speak", "rows", "delete a"])
