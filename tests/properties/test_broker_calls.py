"""A call is who, which tool, which arguments, and where in the turn: no two are taken for one.

Tools, arguments, ids and orders are mixed, with every id that models and providers give: the
same for several calls of one message, an empty one, none. Whatever the mix, each call comes to
what its own tool makes of its own arguments, and runs exactly once.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from effort import tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

from permissions.integrations.langgraph import fan_out, guard_node
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import Broker, tool

if TYPE_CHECKING:
    from collections.abc import Iterator

RAN: list[tuple[str, Any]] = []


@tool(effect="read", impact="low")
def balance(account: int | str) -> str:
    """Looks a balance up."""
    RAN.append(("balance", account))
    return f"balance of {account!r}"


@tool(effect="read", impact="low")
def limit(account: int | str) -> str:
    """Looks a limit up."""
    RAN.append(("limit", account))
    return f"limit of {account!r}"


NAMES = st.sampled_from(["balance", "limit"])
ACCOUNTS = st.sampled_from([1, 2, "1", "2", "key 1", ""])
KEYS = st.sampled_from(["1", "2", "", "turn 0", "key 1", "1:balance", None])
CALLS = st.lists(st.tuples(NAMES, ACCOUNTS, KEYS), max_size=12)


@given(calls=CALLS)
@settings(max_examples=100, deadline=None)
async def test_each_call_comes_to_what_its_own_tool_makes_of_its_own_arguments(
    calls: list[tuple[str, int | str, str | None]],
) -> None:
    """One with a key runs once, however often it is asked for; one without, each time."""
    RAN.clear()
    async with (
        memory_broker([balance, limit], decide=lambda _: permitted()) as broker,
        open_session(broker, user="alice") as session,
    ):
        for name, account, key in calls:
            result = await broker.call(session, ToolCall(name, {"account": account}, key))
            assert isinstance(result, Completed)
            assert result.value == f"{name} of {account!r}"

    keyed = {call for call in calls if call[2] is not None}
    unkeyed = [call for call in calls if call[2] is None]
    assert Counter(map(repr, RAN)) == Counter(repr(call[:2]) for call in [*keyed, *unkeyed])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("calls")
    config = BrokerConfig.load(
        state=folder / "state", workspace=folder, sandbox={"backends": ()}
    )
    with Broker([balance, limit], config=config) as opened:
        yield opened


IDS = st.sampled_from(["1", "2", ""])
MESSAGE = st.lists(st.tuples(NAMES, ACCOUNTS, IDS), min_size=1, max_size=6)


@given(calls=MESSAGE, one_task_each=st.booleans(), at_once=st.sampled_from([1, 4]))
@settings(
    max_examples=tries(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_calls_of_one_message_are_as_many_calls(
    calls: list[tuple[str, int | str, str]],
    *,
    one_task_each: bool,
    at_once: int,
    broker: Broker,
) -> None:
    RAN.clear()
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda _: {})
    builder.add_node("tools", guard_node([balance, limit]))
    builder.add_edge(START, "model")
    if one_task_each:
        builder.add_conditional_edges("model", fan_out())
    else:
        builder.add_edge("model", "tools")
    asked = [
        {"name": name, "args": {"account": account}, "id": key, "type": "tool_call"}
        for name, account, key in calls
    ]

    with broker.session(user="alice"):
        ended = builder.compile().invoke(
            {"messages": [AIMessage("", tool_calls=asked)]}, {"max_concurrency": at_once}
        )

    said = [message.content for message in ended["messages"][1:]]
    expected = [f"{name} of {account!r}" for name, account, _ in calls]
    assert sorted(said) == sorted(expected)
    if not one_task_each:
        assert said == expected
    assert Counter(map(repr, RAN)) == Counter(repr(call[:2]) for call in calls)
