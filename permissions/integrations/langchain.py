"""LangChain's `create_agent` under the broker: a middleware that decides each call of a tool.

    agent = create_agent(model, middleware=[WardlineMiddleware([search, pay])])
    with Broker([search, pay]) as broker:
        with broker.session(user="alice", run=thread_id, approval_mode="suspend"):
            agent.invoke(inputs, {"configurable": {"thread_id": thread_id}})

Put it last, so that nothing comes between the decision and the tool. Other middleware keeps its
meaning: what retries, limits, emulates or answers a call goes around it, and what changes a
request is seen by it. What an inner one changes all the same is found by the tool itself, and
refused before it runs.

How a call is held, resumed and named is that of `permissions.integrations.langgraph`.

Not protected from: tools that a model's provider runs itself, and effects of other middleware. A
tool that is not guarded (one of another middleware, say) is not run, and the agent ends with
`ToolDefinitionError`: give that middleware guarded ones (`langchain_tools`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware

from permissions.integrations.langgraph import CallGuard, langchain_tools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from langchain_core.messages import ToolMessage
    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.types import Command

__all__ = ["WardlineMiddleware"]


class WardlineMiddleware(AgentMiddleware[Any, Any, Any]):
    """Puts each tool call of an agent to the broker of the session around its run.

    Args:
        tools: what the agent may call, in the place of `create_agent`'s `tools`: functions
            decorated with `wardline.tool`, what `wardline.guard` gave, or LangChain tools made
            from them. Those that `create_agent` is given are decided as well.

    Raises:
        ToolDefinitionError: one is not guarded, or has another name here than there.
    """

    def __init__(self, tools: Iterable[object] = ()) -> None:
        super().__init__()
        self.tools = langchain_tools(tools)
        self._guard = CallGuard()

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """See `permissions.integrations.langgraph.CallGuard`."""
        return self._guard.wrap_tool_call(request, handler)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """See `permissions.integrations.langgraph.CallGuard`."""
        return await self._guard.awrap_tool_call(request, handler)
