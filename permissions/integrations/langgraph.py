"""LangGraph under the broker: a tool node whose every call is decided, once, by the broker.

    with Broker([pay]) as broker:
        builder.add_node("tools", guard_node([pay]))
        ...
        with broker.session(user="alice", run=thread_id, approval_mode="suspend"):
            graph.invoke(inputs, {"configurable": {"thread_id": thread_id}})

The session is the one that is open around the graph's run. A refused call becomes a
`ToolMessage` with `status="error"`. A call that needs a person suspends the graph: the
broker's own store, never the value the graph is resumed with, says whether it may run. When
LangGraph runs a node again, calls that ended give their stored result and calls that were
begun and have no end are refused as in doubt; no tool runs twice.

A tool that calls LangGraph's `interrupt` itself has not ended: it runs again from its start, is
decided again, and gets the answer.

Not protected from: nodes and tools beside this one, which run undecided. A fork of the
thread (`update_state`, another checkpoint id) is a new turn: its calls are decided and run
anew. Unless `durability="sync"`, a crash may lose the turn, and so the names of its calls, which
then run once more: by default a tool may begin before its checkpoint is on the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END
from langgraph.types import Command, Send

from permissions.integrations._langgraph_calls import HeldCall, held_calls, langchain_tool
from permissions.integrations._langgraph_guard import CallGuard
from permissions.integrations._langgraph_node import GuardedToolNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseTool
    from langgraph.pregel import Pregel

__all__ = [
    "CallGuard",
    "HeldCall",
    "apending",
    "aresume",
    "fan_out",
    "guard_node",
    "langchain_tools",
    "pending",
    "resume",
]


def guard_node(tools: Iterable[object], **options: Any) -> GuardedToolNode:
    """A `ToolNode` whose calls go through the broker of the session around the graph's run.

    Args:
        tools: functions decorated with `wardline.tool`, what `wardline.guard` gave, or LangChain
            tools made from them.
        **options: of `ToolNode` (`name`, `handle_tool_errors`, `messages_key`, ...).
            `wrap_tool_call` and `awrap_tool_call` go around the broker; `handle_tool_errors` is
            asked about exceptions of tools only, never about those of the broker.

    Raises:
        ToolDefinitionError: a tool is not guarded, or has another name here than there.
    """
    return GuardedToolNode(langchain_tools(tools), **options)


def langchain_tools(tools: Iterable[object]) -> list[BaseTool]:
    """Guarded tools as LangChain's own: for `bind_tools`, `create_agent`, another middleware.

    Args:
        tools: functions decorated with `wardline.tool`, what `wardline.guard` gave, or LangChain
            tools made from them.

    Raises:
        ToolDefinitionError: one is not guarded, or has another name here than there.
    """
    return [langchain_tool(each) for each in tools]


def fan_out(node: str = "tools", *, messages_key: str = "messages") -> Callable[[Any], Any]:
    """A conditional edge that gives each tool call of the last message a task of its own.

    Then every call that needs a person is asked about at once, and a resumed graph runs only
    the calls that were answered. Without tool calls it leads to the graph's end.
    """

    def route(state: Any) -> list[Send] | str:
        messages = (
            state[messages_key] if isinstance(state, dict) else getattr(state, messages_key)
        )
        return [Send(node, [call]) for call in messages[-1].tool_calls] or END

    return route


def pending(graph: Pregel[Any, Any, Any, Any], config: RunnableConfig) -> tuple[HeldCall, ...]:
    """The calls that the suspended graph waits with."""
    return held_calls(graph.get_state(config))


async def apending(
    graph: Pregel[Any, Any, Any, Any], config: RunnableConfig
) -> tuple[HeldCall, ...]:
    """`pending` for async programs."""
    return held_calls(await graph.aget_state(config))


def resume(graph: Pregel[Any, Any, Any, Any], config: RunnableConfig, **options: Any) -> Any:
    """Goes on with a suspended or interrupted graph; each held call is decided again.

    Those whose people have not answered yet suspend it again.

    Args:
        **options: of the graph's `invoke` (`context`, `durability`, ...).

    Returns:
        What `invoke` returns.
    """
    return graph.invoke(_look_again(pending(graph, config)), config, **options)


async def aresume(
    graph: Pregel[Any, Any, Any, Any], config: RunnableConfig, **options: Any
) -> Any:
    """`resume` for async programs."""
    return await graph.ainvoke(_look_again(await apending(graph, config)), config, **options)


def _look_again(held: tuple[HeldCall, ...]) -> Command[Any] | None:
    """What resumes a graph by the ids of its interrupts; the value decides nothing.

    Without a held call LangGraph goes on from its last checkpoint, as after a crash.
    """
    if not held:
        return None
    return Command(resume={call.interrupt: call.access_request for call in held})
