"""LangChain tools of every kind under the broker: in a node and in an agent, as without it.

What is compared is what the graph gets: messages, artifacts, state. After a resume the calls that
ended give it once more from the journal, so each kind stands beside a call that waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from graphs import Asked, Form, World, answers, turn
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, ToolException
from langchain_core.tools import tool as framework_tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.base import BaseStore  # noqa: TC002 - read at run time
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt

from permissions.errors import ToolDefinitionError
from permissions.integrations.langgraph import guard_node, langchain_tools
from permissions.tools.decorator import guard_of
from wardline import Broker, guard, tool

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

READS = {"effect": "read", "impact": "low"}
SYNC = Form("sync", "sync", "sync")
FORMS = [SYNC, Form("async", "async", "async"), Form("sync", "async", "sync")]


class State(MessagesState):
    """With a field that tools read and write."""

    owner: str


class Lines(BaseTool):
    """A tool that is a class, as toolkits have them."""

    name: str = "lines"
    description: str = "Counts lines."

    def _run(self, text: str) -> dict[str, int]:
        return {"lines": text.count("\n")}


def kinds() -> list[BaseTool]:
    """One of each."""

    @framework_tool
    def state_of(
        key: str, state: Annotated[dict[str, Any], InjectedState], runtime: ToolRuntime
    ) -> str:
        """Reads the state, twice."""
        return f"{state[key]} {runtime.state[key]} {runtime.tool_call_id}"

    @framework_tool
    def stored(key: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """Reads the store."""
        found = store.get(("notes",), key)
        return "" if found is None else str(found.value)

    @framework_tool
    def hand_over(to: str, call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Updates the state."""
        said = ToolMessage("handed over", tool_call_id=call_id)
        return Command(update={"messages": [said], "owner": to})

    @framework_tool(response_format="content_and_artifact")
    def table(rows: int) -> tuple[str, list[int]]:
        """Content and artifact."""
        return f"{rows} rows", [*range(rows)]

    @framework_tool
    def picture() -> list[dict[str, Any]]:
        """An image."""
        return [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]

    def refuses(text: str) -> str:
        """Handles its own errors."""
        raise ToolException(f"not {text}")

    def both(text: str) -> str:
        """Is sync and async."""
        return f"sync {text}"

    async def both_async(text: str) -> str:
        return f"async {text}"

    return [
        state_of,
        stored,
        hand_over,
        table,
        picture,
        StructuredTool.from_function(refuses, handle_tool_error=True),
        StructuredTool.from_function(both, coroutine=both_async),
        Lines(),
    ]


CALLS = [
    Asked("state_of", {"key": "owner"}, "1"),
    Asked("stored", {"key": "a"}, "2"),
    Asked("hand_over", {"to": "billing"}, "3"),
    Asked("table", {"rows": 2}, "4"),
    Asked("picture", {}, "5"),
    Asked("refuses", {"text": "this"}, "6"),
    Asked("both", {"text": "x"}, "7"),
    Asked("lines", {"text": "a\nb"}, "8"),
    Asked("table", {"rows": "many"}, "9"),
    Asked("format_disk", {}, "10"),
]


def graph_of(node: Any, *calls: Asked, saver: Any = None) -> Any:
    store = InMemoryStore()
    store.put(("notes",), "a", {"kept": "here"})
    builder = StateGraph(State)
    builder.add_node("llm", lambda _: {"messages": [turn(*calls)], "owner": "desk"})
    builder.add_node("tools", node)
    builder.add_edge(START, "llm")
    builder.add_edge("llm", "tools")
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=saver, store=store)


def seen(state: dict[str, Any]) -> dict[str, Any]:
    """What the graph got; the broker's own word on a call is in the artifact."""
    told = {
        each.tool_call_id: (each.content, each.status, each.name)
        for each in state["messages"]
        if isinstance(each, ToolMessage)
    }
    artifact = answers(state)["4"].artifact
    return {**told, "owner": state["owner"], "artifact": artifact}


@tool(effect="write", impact="high")
def delete(name: str) -> str:
    """Needs a person."""
    return f"deleted {name}"


@pytest.mark.parametrize("form", FORMS, ids="-".join)
async def test_each_kind_gives_what_it_gives_without_a_broker(
    form: Form, tmp_path: Any
) -> None:
    plain = graph_of(ToolNode(kinds()), *CALLS)
    given = {"messages": [HumanMessage("go")]}
    expected = seen(plain.invoke(given) if form.graph == "sync" else await plain.ainvoke(given))

    world = World(
        form, tmp_path, make=lambda *_: [*(guard(t, **READS) for t in kinds()), delete]
    )
    node = guard_node(world.tools)
    graph = graph_of(node, *CALLS, Asked("delete", {"name": "a"}, "11"), saver=world.saver)
    async with world.session():
        held = await world.run(graph)
        assert held["__interrupt__"]
        await world.vote('"a"')
        found = seen(await world.resume(graph))

    assert found.pop("11") == ("deleted a", "success", "delete")
    said, *rest = found["10"]
    found["10"] = (said.replace(", delete]", "]"), *rest)  # the plain node has no such tool
    assert found == expected


def test_what_a_graph_fills_in_is_no_argument() -> None:
    shown = {
        each.name: [*guard_of(guard(each)).definition.schema["properties"]] for each in kinds()
    }

    assert shown["state_of"] == ["key"]
    assert shown["stored"] == ["key"]
    assert shown["hand_over"] == ["to"]


async def test_a_tool_of_langchain_outside_an_agent_is_decided_too(tmp_path: Any) -> None:
    lines, deleting = langchain_tools([guard(Lines(), **READS), delete])
    world = World(SYNC, tmp_path, make=lambda *_: [lines, deleting])

    async with world.session():
        assert lines.invoke({"text": "a\nb"}) == {"lines": 1}
        with pytest.raises(Exception, match="approval"):
            deleting.invoke({"name": "a"})


def injected_by_name() -> dict[str, Callable[..., Any]]:
    def untyped(x: int, runtime) -> str:  # type: ignore[no-untyped-def] # noqa: ANN001 - as users write it
        """Named so."""
        return f"{x} {type(runtime).__name__}"

    def of_any(x: int, runtime: Any = None) -> str:
        """Of any type."""
        return f"{x} {type(runtime).__name__}"

    def optional(x: int, runtime: ToolRuntime | None = None) -> str:
        """One of two."""
        return f"{x} {type(runtime).__name__}"

    return {each.__name__: each for each in (untyped, of_any, optional)}


@pytest.mark.parametrize("name", injected_by_name())
async def test_a_runtime_is_filled_in_however_it_is_asked_for(name: str, tmp_path: Any) -> None:
    """LangGraph knows it by its name; a model can neither see nor give it."""
    made = tool(**READS)(injected_by_name()[name])
    world = World(SYNC, tmp_path, make=lambda *_: [made])
    graph = world.agent(turn(Asked(name, {"x": 1})))

    async with world.session():
        state = await world.run(graph)

    assert [*guard_of(made).definition.schema["properties"]] == ["x"]
    assert answers(state)["call-1"].content == "1 ToolRuntime"


# -- tools that ask by themselves -----------------------------------------------------------


def asking(ran: list[str], **options: Any) -> Any:
    def ask_user(question: str) -> str:
        """Asks the person."""
        ran.append("begun")
        said = interrupt(question)
        ran.append("ended")
        return f"they said {said}"

    return tool(**options)(ask_user)


@pytest.mark.parametrize("form", FORMS, ids="-".join)
async def test_a_tool_may_ask_by_an_interrupt(form: Form, tmp_path: Any) -> None:
    """Its answer was lost, and the model was told that it failed."""
    world = World(form, tmp_path, make=lambda _, ran: [asking(ran, **READS)])
    graph = world.agent(turn(Asked("ask_user", {"question": "blue?"})))

    async with world.session():
        paused = await world.run(graph)
        assert [each.value for each in paused["__interrupt__"]] == ["blue?"]
        assert await world.pending(graph) == ()
    async with world.session():  # another program, another day
        state = await world.send(graph, Command(resume="yes"))
        again = await world.send(graph, None)

    assert answers(state)["call-1"].content == "they said yes"
    assert answers(again)["call-1"].content == "they said yes"
    assert world.ran == ["begun", "begun", "ended"]


async def test_a_tool_asks_as_often_as_it_likes(tmp_path: Any) -> None:
    def ask_twice() -> str:
        """Asks two things."""
        return f"{interrupt('one?')} {interrupt('two?')}"

    world = World(SYNC, tmp_path, make=lambda *_: [guard(framework_tool(ask_twice), **READS)])
    graph = world.agent(turn(Asked("ask_twice", {})))

    async with world.session():
        await world.run(graph)
        await world.send(graph, Command(resume="a"))
        state = await world.send(graph, Command(resume="b"))

    assert answers(state)["call-1"].content == "a b"


async def test_a_call_that_a_person_approved_cannot_ask_by_itself(tmp_path: Any) -> None:
    """Answers come by their order: a yes to the approval must not be the tool's answer."""
    made = {"effect": "write", "impact": "high"}
    world = World(SYNC, tmp_path, make=lambda _, ran: [asking(ran, **made)])
    graph = world.agent(turn(Asked("ask_user", {"question": "blue?"})), handle_tool_errors=True)

    async with world.session():
        await world.run(graph)
        await world.vote("blue")
        state = await world.send(graph, Command(resume="yes"))

    assert "they said" not in str(state["messages"])
    assert "ended" not in world.ran


# -- one list of tools ----------------------------------------------------------------------


def test_a_broker_takes_what_a_graph_takes(tmp_path: Any) -> None:
    tools = langchain_tools([guard(Lines(), **READS), delete])

    assert [guard_of(each).definition.name for each in tools] == ["lines", "delete"]
    with pytest.raises(ToolDefinitionError, match=r"guard\(\.\.\.\)"), Broker([Lines()]):
        pass
