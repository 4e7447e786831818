"""What a guarded tool node does with a call: runs it, refuses it, or suspends the graph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from graphs import DONE, FORMS, OLGA, Asked, Form, World, agent, answers, turn
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_core.tools import tool as framework_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field

from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us
from permissions.integrations.langgraph import guard_node
from wardline import (
    NoSessionError,
    ToolDefinitionError,
    ToolFailedError,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOTH = pytest.mark.parametrize(
    "form", [form for form in FORMS if len(set(form)) == 1], ids="-".join
)
"""Where only sync or async matters, not their mixtures."""


async def test_permitted_call_gives_what_the_tool_returned(world: World) -> None:
    """The message is the framework's own, and the tool ran once."""
    graph = world.agent(turn(Asked("note", {"text": "hi", "times": 2})))

    async with world.session():
        state = await world.run(graph)

    message = answers(state)["call-1"]
    assert (message.content, message.status, message.name) == ("hihi", "success", "note")
    assert world.ran == ["note hi"]


async def test_denied_call_is_an_error_message_with_code_and_remedy(world: World) -> None:
    """The model learns why, and not to try again; the tool is never reached."""
    graph = world.agent(turn(Asked("read", {"path": "/etc/passwd"})))

    async with world.session():
        state = await world.run(graph)

    message = answers(state)["call-1"]
    said = json.loads(str(message.content))
    assert message.status == "error"
    assert said["status"] == "denied"
    assert said["reasons"][0]["code"] == "filesystem.outside"
    assert said["retry"] is False
    assert said["advice"].startswith("Do not repeat")
    assert message.artifact["reasons"] == said["reasons"]
    assert world.ran == []


async def test_approved_call_runs_after_the_graph_is_resumed(world: World) -> None:
    """The graph suspends, a person says yes, the graph goes on."""
    graph = world.agent(turn(Asked("delete", {"name": "a"})))

    async with world.session():
        suspended = await world.run(graph)
        held = await world.pending(graph)
        (asked,) = await world.requests()
        await world.vote('"a"')
        state = await world.resume(graph)

    assert suspended["__interrupt__"]
    assert [call.access_request for call in held] == [asked.id]
    assert answers(state)["call-1"].content == "deleted a"
    assert world.ran == ["delete a"]


@BOTH
async def test_a_call_that_a_person_edited_runs_as_they_made_it(world: World) -> None:
    """The model's own arguments reach the tool, and what runs are those that were approved."""
    graph = world.agent(turn(Asked("delete", {"name": "a"})))

    async with world.session():
        await world.run(graph)
        (asked,) = await world.requests()
        edit = sign_vote(
            asked,
            approver="olga",
            verdict="edit",
            note="",
            now=now_us(),
            signer=OLGA,
            arguments={"name": "b"},
        )
        await world._at_broker(lambda: world.broker.parts.approvals.vote(edit))
        again = await world.resume(graph)
        await world.vote('"b"')
        state = await world.resume(graph)

    assert again["__interrupt__"]
    assert answers(state)["call-1"].content.startswith("deleted b")
    assert world.ran == ["delete b"]


def code_of(message: ToolMessage) -> str:
    return json.loads(str(message.content))["reasons"][0]["code"]


# -- what the model may ask for -----------------------------------------------------------


@BOTH
async def test_unknown_tool_is_denied_and_recorded(world: World) -> None:
    """A name that the model made up is denied; the model reads which names there are."""
    graph = world.agent(turn(Asked("format_disk", {"drive": "c"})))

    async with world.session():
        state = await world.run(graph)

    message = answers(state)["call-1"]
    assert message.artifact["reasons"][0]["code"] == "tool.unregistered"
    assert "try one of [note, delete, read]" in message.content


@BOTH
async def test_tool_of_another_node_is_denied_without_asking_anybody(world: World) -> None:
    """What the broker knows but this node does not offer is out of the model's reach here."""
    (delete,) = [t for t in world.tools if t.guard.definition.name == "delete"]
    others = [each for each in world.tools if each is not delete]
    graph = agent(
        guard_node(others), [turn(Asked("delete", {"name": "a"})), DONE], saver=world.saver
    )

    async with world.session():
        state = await world.run(graph)
        asked = await world.requests()

    assert answers(state)["call-1"].artifact["reasons"][0]["code"] == "tool.unregistered"
    assert asked == ()


@BOTH
@pytest.mark.parametrize("args", [{}, {"text": []}, {"text": "x", "extra": 1}])
async def test_malformed_arguments_are_answered_with_what_does_not_fit(
    world: World, args: dict[str, Any]
) -> None:
    graph = world.agent(turn(Asked("note", args)))

    async with world.session():
        state = await world.run(graph)

    assert code_of(answers(state)["call-1"]) == "arguments.invalid"
    assert world.ran == []


class Stricter(BaseModel):
    """A schema of the framework's own that refuses what the tool's would take."""

    text: str = Field(max_length=1)


class Shortcut(StructuredTool):
    """A framework's tool that answers without its function."""

    def _run(self, *_: Any, **__: Any) -> str:
        return "made up"

    async def _arun(self, *_: Any, **__: Any) -> str:
        return "made up"


@BOTH
async def test_call_the_framework_refuses_after_all_is_ended_as_not_run(world: World) -> None:
    """The model gets the framework's own words; no call is left open in the record."""
    (note,) = [t for t in world.tools if t.guard.definition.name == "note"]
    node = guard_node([framework_tool("note", args_schema=Stricter)(note)])
    graph = agent(node, [turn(Asked("note", {"text": "long"})), DONE], saver=world.saver)

    async with world.session():
        state = await world.run(graph)

    message = answers(state)["call-1"]
    assert message.status == "error"
    assert "at most 1 character" in str(message.content)
    assert world.ran == []


@BOTH
async def test_answer_that_did_not_come_from_the_tool_is_withheld(world: World) -> None:
    """Permitted was the tool, not what somebody says in its place."""
    (note,) = [t for t in world.tools if t.guard.definition.name == "note"]
    function = {"sync": "func", "async": "coroutine"}[world.form.tools]
    shortcut = Shortcut.from_function(**{function: note}, name="note", description="Notes.")
    graph = agent(
        guard_node([shortcut]), [turn(Asked("note", {"text": "x"})), DONE], saver=world.saver
    )

    async with world.session():
        state = await world.run(graph)

    assert code_of(answers(state)["call-1"]) == "call.changed"
    assert "made up" not in str(answers(state)["call-1"].content)


# -- how a program may be wrong -----------------------------------------------------------


def plain(text: str) -> str:
    """Guarded by nobody."""
    return text


@tool(effect="read", impact="low")
def sync_one(text: str) -> str:
    """One function."""
    return text


@tool(name="sync_one", effect="read", impact="low")
async def async_one(text: str) -> str:
    """Another one."""
    return text


async def bare(text: str) -> str:
    """Guarded by nobody."""
    return text


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: plain, "not a guarded tool"),
        (lambda: framework_tool(plain), "not a guarded tool"),
        (lambda: framework_tool("other")(sync_one), "give both one name"),
        (
            lambda: StructuredTool.from_function(sync_one, coroutine=bare),
            "not made from one function",
        ),
        (
            lambda: StructuredTool.from_function(sync_one, coroutine=async_one),
            "not made from one function",
        ),
    ],
    ids=["function", "tool", "renamed", "half-guarded", "two-functions"],
)
def test_node_of_what_is_not_guarded_cannot_be_built(
    build: Callable[[], Any], said: str
) -> None:
    """The mistake is told where it is made, not when the model first calls the tool."""
    with pytest.raises(ToolDefinitionError, match=said):
        guard_node([build()])


async def test_graph_outside_a_session_runs_no_tool(world: World) -> None:
    graph = world.agent(turn(Asked("note", {"text": "x"})))

    with pytest.raises(NoSessionError, match="outside a broker session"):
        await world.run(graph)

    assert world.ran == []


@BOTH
async def test_session_of_another_run_than_the_thread_is_refused(world: World) -> None:
    """Otherwise a resumed graph would not find its approvals, and run finished calls again."""
    graph = world.agent(turn(Asked("note", {"text": "x"})))

    async with world.session(run="another"):
        with pytest.raises(NoSessionError, match="open the session with the thread's id"):
            await world.run(graph)

    assert world.ran == []


@BOTH
async def test_broker_with_another_function_of_that_name_is_refused(world: World) -> None:
    @tool(name="note", effect="read", impact="low")
    def impostor(text: str) -> str:
        """Is not what was registered."""
        world.ran.append(text)
        return text

    graph = agent(
        guard_node([impostor]), [turn(Asked("note", {"text": "x"})), DONE], saver=world.saver
    )

    async with world.session():
        with pytest.raises(ToolDefinitionError, match="the same decorated function"):
            await world.run(graph)

    assert world.ran == []


# -- waiting for people -------------------------------------------------------------------


@BOTH
async def test_graph_without_a_thread_tells_the_model_that_a_person_is_asked(
    world: World,
) -> None:
    """There is nothing to suspend: no checkpointer, no thread."""
    world.saver, world.thread = None, None
    graph = world.agent(turn(Asked("delete", {"name": "a"})))

    async with world.session():
        state = await world.run(graph)

    said = json.loads(str(answers(state)["call-1"].content))
    assert (said["status"], said["retry"]) == ("pending", True)
    assert said["access_request"]
    assert world.ran == []


@BOTH
async def test_resumed_too_early_it_suspends_again_for_the_same_request(world: World) -> None:
    graph = world.agent(turn(Asked("delete", {"name": "a"})))

    async with world.session():
        await world.run(graph)
        first = await world.pending(graph)
        await world.resume(graph)
        second = await world.pending(graph)

    assert [h.access_request for h in first] == [h.access_request for h in second]
    assert world.ran == []


@BOTH
async def test_interrupts_of_others_are_left_alone(world: World) -> None:
    """A node of the user's own asks something as well; only its own answer resumes it."""

    def ask(state: Any) -> dict[str, Any]:
        del state
        return {"messages": [HumanMessage(interrupt({"type": "their own", "id": 1}))]}

    builder = StateGraph(MessagesState)
    builder.add_node("tools", world.node())
    builder.add_node("ask", ask)
    builder.add_node("llm", lambda _: {"messages": [turn(Asked("delete", {"name": "a"}, "a"))]})
    builder.add_edge(START, "llm")
    builder.add_edge("llm", "tools")
    builder.add_edge("llm", "ask")
    graph = builder.compile(checkpointer=world.saver)

    async with world.session():
        suspended = await world.run(graph)
        (held,) = await world.pending(graph)
        await world.vote('"a"')
        state = await world.resume(graph)
        theirs = [each.value for each in graph.get_state(world.config).interrupts]

    assert len(suspended["__interrupt__"]) == 2
    assert held.tool == "delete"
    assert world.ran == ["delete a"]
    assert theirs == [{"type": "their own", "id": 1}]
    assert state["__interrupt__"]


@BOTH
async def test_subgraph_is_suspended_and_resumed_like_any_graph(world: World) -> None:
    """Calls of an agent inside a graph keep their keys through the outer graph's resumes."""
    calls = turn(Asked("note", {"text": "x"}, "n"), Asked("delete", {"name": "a"}, "a"))
    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent(world.node(), [calls, DONE], saver=None))
    builder.add_edge(START, "agent")
    graph = builder.compile(checkpointer=world.saver)

    async with world.session():
        await world.run(graph)
        await world.resume(graph)
        await world.vote('"a"')
        state = await world.resume(graph)

    assert sorted(world.ran) == ["delete a", "note x"]
    assert answers(state)["a"].content == "deleted a"


# -- what a tool gives back ---------------------------------------------------------------


def odd_tools(kind: str, ran: list[str]) -> list[Any]:
    """Tools that raise, that are refused further in, and that return more than text."""

    @tool(effect="read", impact="low")
    def fail(text: str) -> str:
        """Raises."""
        ran.append("fail")
        raise LookupError(text)

    @tool(effect="write", impact="high")
    def pay(name: str) -> str:
        """Needs a person."""
        ran.append(f"pay {name}")
        return "paid"

    @tool(effect="read", impact="low", on_deny="return")
    def relay(name: str) -> str:
        """Calls another tool, which is refused."""
        ran.append("relay")
        return pay(name)

    @tool(effect="read", impact="low")
    def go(to: str) -> Command[Any]:
        """Changes the graph's state by itself."""
        ran.append("go")
        message = ToolMessage(f"gone to {to}", tool_call_id="g")
        return Command(update={"messages": [message]})

    del kind
    return [fail, pay, relay, go]


@pytest.fixture
def odd(form: Form, tmp_path: Path) -> World:
    return World(Form(form.broker, form.graph, "sync"), tmp_path, make=odd_tools)


@BOTH
async def test_exception_of_a_tool_is_the_frameworks_to_handle(odd: World) -> None:
    """As LangGraph is told to, it makes a message of it."""
    asked = turn(Asked("fail", {"text": "nowhere"}, "f"))
    graph = odd.agent(asked, handle_tool_errors="it failed")

    async with odd.session():
        state = await odd.run(graph)

    assert (answers(state)["f"].content, answers(state)["f"].status) == ("it failed", "error")


@BOTH
async def test_tool_that_raised_is_not_run_again_by_a_resumed_graph(odd: World) -> None:
    """The graph broke on it; gone on with, it breaks on the recorded failure."""
    graph = odd.agent(turn(Asked("fail", {"text": "nowhere"}, "f")))

    async with odd.session():
        with pytest.raises(LookupError):
            await odd.run(graph)
        with pytest.raises(ToolFailedError, match="nowhere"):
            await odd.resume(graph)

    assert odd.ran == ["fail"]


@BOTH
async def test_refusal_inside_a_tool_becomes_a_message(odd: World) -> None:
    """A tool calls another one that may not run; the run goes on."""
    graph = odd.agent(turn(Asked("relay", {"name": "ann"}, "r")))

    async with odd.session():
        state = await odd.run(graph)

    assert code_of(answers(state)["r"]) == "approval.pending"
    assert odd.ran == ["relay"]


@BOTH
async def test_replayed_results_read_as_they_did_at_first(odd: World) -> None:
    """A command to the graph, given again from the journal, is the same command."""
    graph = odd.agent(turn(Asked("go", {"to": "rest"}, "g"), Asked("pay", {"name": "a"}, "p")))

    async with odd.session():
        await odd.run(graph)
        await odd.vote('"a"')
        state = await odd.resume(graph)

    assert answers(state)["g"].content == "gone to rest"
    assert sorted(odd.ran) == ["go", "pay a"]
