"""LangGraph's own options mean at a guarded node what they mean without a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from permissions.errors import NoSessionError, ToolDefinitionError
from permissions.integrations.langgraph import guard_node
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from wardline import Broker, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def fail(kind: str) -> str:
    """Raises what it is asked for."""
    raise {"key": KeyError, "value": ValueError}[kind]("not for the model")


guarded_fail = tool(effect="read", impact="low")(fail)


def typed(error: ValueError) -> str:
    return f"handled {type(error).__name__}"


HANDLERS = {
    "type": ValueError,
    "tuple": (ValueError,),
    "typed function": typed,
    "all": True,
    "none": False,
    "text": "a fixed text",
}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[None]:
    config = BrokerConfig.load(state=tmp_path / "state")
    with (
        Broker(tools=[guarded_fail], config=config) as broker,
        broker.session(user="alice", workspace=tmp_path),
    ):
        yield


def ended(node: ToolNode, kind: str) -> tuple[str, Any]:
    """How a call of `fail` ends: with a message, or with an exception."""
    asked = {"name": "fail", "args": {"kind": kind}, "id": "1", "type": "tool_call"}
    graph = StateGraph(MessagesState)
    graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    try:
        found = graph.compile().invoke({"messages": [AIMessage("", tool_calls=[asked])]})
    except Exception as err:  # noqa: BLE001 - which one it is, is the question
        return "raised", type(err)
    message = found["messages"][-1]
    assert isinstance(message, ToolMessage)
    return str(message.status), message.content


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("kind", ["key", "value"])
@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS.keys())
def test_an_exception_of_a_tool_is_handled_as_without_a_broker(handler: Any, kind: str) -> None:
    plain = ToolNode([fail], handle_tool_errors=handler)
    guarded = guard_node([guarded_fail], handle_tool_errors=handler)

    assert ended(guarded, kind) == ended(plain, kind)


@pytest.mark.parametrize(
    "handler", [*HANDLERS.values(), str], ids=[*HANDLERS.keys(), "any function"]
)
def test_what_the_broker_raises_is_never_told_to_the_model(handler: Any) -> None:
    node = guard_node([guarded_fail], handle_tool_errors=handler)

    assert ended(node, "key") == ("raised", NoSessionError)


@pytest.mark.usefixtures("session")
def test_a_wrapper_goes_around_the_broker() -> None:
    seen: list[str] = []

    def again(request: Any, execute: Callable[[Any], Any]) -> Any:
        seen.append(request.tool_call["name"])
        try:
            return execute(request)
        except KeyError as err:
            seen.append(type(err).__name__)
            return ToolMessage("given up", tool_call_id=request.tool_call["id"])

    node = guard_node([guarded_fail], wrap_tool_call=again, handle_tool_errors=False)

    assert ended(node, "key") == ("success", "given up")
    assert seen == ["fail", "KeyError"]


async def test_a_wrapper_goes_around_the_broker_when_awaited(tmp_path: Path) -> None:
    @tool(effect="read", impact="low")
    async def look(kind: str) -> str:
        """Looks."""
        return f"saw {kind}"

    async def around(request: Any, execute: Callable[[Any], Any]) -> Any:
        message = await execute(request)
        return ToolMessage(f"<{message.content}>", tool_call_id=request.tool_call["id"])

    asked = {"name": "look", "args": {"kind": "it"}, "id": "1", "type": "tool_call"}
    graph = StateGraph(MessagesState)
    graph.add_node("tools", guard_node([look], awrap_tool_call=around))
    graph.add_edge(START, "tools")
    config = BrokerConfig.load(state=tmp_path / "state")
    async with (
        open_broker(config, [look]) as broker,
        open_session(broker, user="alice", workspace=tmp_path),
    ):
        messages = [AIMessage("", tool_calls=[asked])]
        found = await graph.compile().ainvoke({"messages": messages})

    assert found["messages"][-1].content == "<saw it>"


@pytest.mark.usefixtures("session")
def test_an_exception_of_a_wrapper_is_handled_as_without_a_broker() -> None:
    def broken(request: Any, execute: Callable[[Any], Any]) -> Any:
        del request, execute
        raise LookupError("the wrapper's own")

    plain = ToolNode([fail], wrap_tool_call=broken, handle_tool_errors=True)
    node = guard_node([guarded_fail], wrap_tool_call=broken, handle_tool_errors=True)

    assert ended(node, "key") == ended(plain, "key")


@pytest.mark.usefixtures("session")
def test_a_wrapper_in_one_form_is_not_left_out_in_the_other() -> None:
    async def around(request: Any, execute: Callable[[Any], Any]) -> Any:
        return await execute(request)

    node = guard_node([guarded_fail], awrap_tool_call=around, handle_tool_errors=True)

    assert ended(node, "key") == ("raised", ToolDefinitionError)
