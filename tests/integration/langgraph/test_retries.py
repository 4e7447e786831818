"""Retries of a framework: an idempotent tool really runs again, any other says why it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ToolRetryMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool as framework_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy

from permissions.integrations.langgraph import CallGuard, guard_node
from permissions.setup.config import BrokerConfig
from wardline import Broker, ToolFailedError, tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow


class Service:
    """Fails so many times with its own exception, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures, self.fetched, self.counted = failures, 0, 0

    def tools(self, *, idempotent: bool) -> list[Callable[..., str]]:
        @tool(effect="read", impact="low", idempotent=idempotent)
        def fetch(q: str) -> str:
            """Fetches."""
            self.fetched += 1
            if self.fetched <= self.failures:
                raise ConnectionError("503 try again")
            return f"page {q}"

        @tool(effect="write", impact="low")
        def count() -> str:
            """Counts."""
            self.counted += 1
            return f"counted {self.counted}"

        return [fetch, count]


def called(name: str, key: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "args": arguments, "id": key, "type": "tool_call"}


def answered(
    folder: Path, service: Service, *calls: dict[str, Any], idempotent: bool, attempts: int = 3
) -> list[ToolMessage]:
    tools = service.tools(idempotent=idempotent)
    graph = StateGraph(MessagesState)
    policy = RetryPolicy(max_attempts=attempts, initial_interval=0.001, retry_on=Exception)
    graph.add_node("tools", guard_node(tools, handle_tool_errors=False), retry_policy=policy)
    graph.add_edge(START, "tools")
    built = graph.compile(checkpointer=InMemorySaver())
    config = BrokerConfig.load(state=folder / "state", workspace=folder)
    with Broker(tools, config=config) as broker, broker.session(user="kim", run="run-1"):
        state = built.invoke(
            {"messages": [AIMessage("", tool_calls=list(calls))]},
            {"configurable": {"thread_id": "run-1"}},
        )
    return [each for each in state["messages"] if isinstance(each, ToolMessage)]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_retry_policy_runs_an_idempotent_tool_again(failures: int, tmp_path: Path) -> None:
    """The recorded failure was given again each time."""
    service = Service(failures)

    (message,) = answered(tmp_path, service, called("fetch", "1", q="x"), idempotent=True)

    assert (message.content, service.fetched) == ("page x", failures + 1)


def test_what_succeeded_beside_it_does_not_run_again(tmp_path: Path) -> None:
    service = Service(2)

    found = answered(
        tmp_path, service, called("count", "1"), called("fetch", "2", q="x"), idempotent=True
    )

    assert [each.content for each in found] == ["counted 1", "page x"]
    assert (service.counted, service.fetched) == (1, 3)


def test_a_tool_that_may_not_run_twice_says_how_it_failed_and_why(tmp_path: Path) -> None:
    service = Service(1)

    with pytest.raises(ToolFailedError, match="ConnectionError") as failed:
        answered(tmp_path, service, called("fetch", "1", q="x"), idempotent=False)

    assert "idempotent" in str(failed.value)
    assert service.fetched == 1


def test_one_that_never_succeeds_raises_its_own_exception(tmp_path: Path) -> None:
    service = Service(9)

    with pytest.raises(ConnectionError, match="503"):
        answered(tmp_path, service, called("fetch", "1", q="x"), idempotent=True)

    assert service.fetched == 3


class Gate(AgentMiddleware[Any, Any, Any]):
    """The guard as a middleware of LangChain's agents."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = CallGuard()

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return self.guard.wrap_tool_call(request, handler)


class Model(GenericFakeChatModel):
    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self


@pytest.mark.parametrize("order", ["retry outside", "retry inside"])
def test_a_retry_middleware_runs_an_idempotent_tool_again(order: str, tmp_path: Path) -> None:
    service = Service(2)
    fetch, _ = service.tools(idempotent=True)
    retry = ToolRetryMiddleware(max_retries=3, initial_delay=0.001, jitter=False)
    layers = [retry, Gate()] if order == "retry outside" else [Gate(), retry]
    turns = [AIMessage("", tool_calls=[called("fetch", "1", q="x")]), AIMessage("done")]
    config = BrokerConfig.load(state=tmp_path / "state", workspace=tmp_path)
    with Broker([fetch], config=config) as broker, broker.session(user="kim", run="run-1"):
        agent = create_agent(
            Model(messages=iter(turns)), [framework_tool(fetch)], middleware=layers
        )
        state = agent.invoke({"messages": [("user", "go")]})

    (message,) = [each for each in state["messages"] if isinstance(each, ToolMessage)]
    assert message.content == "page x"
    assert service.fetched == 3
