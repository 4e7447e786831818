"""A `ToolNode` whose calls pass the broker, with LangGraph's options meaning what they mean there.

`wrap_tool_call` and `awrap_tool_call` go around the broker's own wrapper, which stays next to
the tool. `handle_tool_errors` decides about exceptions of tools, by type, as without a broker;
what the broker itself raises (no session, another function of that name) is no fault of a tool
and is always raised, or a model would be told to try again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt import ToolNode

from permissions.errors import ToolDefinitionError, ToolFailedError
from permissions.integrations._langgraph_guard import CallGuard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from langchain_core.tools import BaseTool
    from langgraph.prebuilt.tool_node import (
        AsyncToolCallWrapper,
        ToolCallRequest,
        ToolCallWrapper,
    )


class _Raised(BaseException):
    """Carries an exception past the node, which would make a message of any other."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(error)


class GuardedToolNode(ToolNode):
    """See the module; made by `guard_node`."""

    def __init__(
        self,
        tools: Sequence[BaseTool],
        *,
        wrap_tool_call: ToolCallWrapper | None = None,
        awrap_tool_call: AsyncToolCallWrapper | None = None,
        **options: Any,
    ) -> None:
        self._guard = CallGuard()
        self._outer, self._aouter = wrap_tool_call, awrap_tool_call
        super().__init__(
            tools, wrap_tool_call=self._wrapped, awrap_tool_call=self._awrapped, **options
        )

    def _wrapped(self, request: ToolCallRequest, execute: Callable[..., Any]) -> Any:
        escaped: list[Exception] = []

        def guarded(asked: ToolCallRequest) -> Any:
            try:
                return self._guard.wrap_tool_call(asked, execute)
            except GraphBubbleUp:
                raise
            except Exception as err:
                escaped.append(err)
                raise

        if self._outer is None and self._aouter is not None:
            raise _Raised(
                ToolDefinitionError(
                    "the node was given awrap_tool_call and is run in the other form, around"
                    " which nothing was given; add wrap_tool_call, or run the graph by `ainvoke`"
                )
            )
        try:
            return guarded(request) if self._outer is None else self._outer(request, guarded)
        except Exception as err:
            self._pass_on(err, escaped)
            raise

    async def _awrapped(
        self, request: ToolCallRequest, execute: Callable[..., Awaitable[Any]]
    ) -> Any:
        escaped: list[Exception] = []

        async def guarded(asked: ToolCallRequest) -> Any:
            try:
                return await self._guard.awrap_tool_call(asked, execute)
            except GraphBubbleUp:
                raise
            except Exception as err:
                escaped.append(err)
                raise

        try:
            if self._aouter is None:
                return await guarded(request)
            return await self._aouter(request, guarded)
        except Exception as err:
            self._pass_on(err, escaped)
            raise

    def _pass_on(self, err: Exception, escaped: list[Exception]) -> None:
        """Raises what `handle_tool_errors` has no say about: it let it by, or it is not a tool's.

        The recorded failure of an earlier run has lost its type: only options that take every
        exception may handle it.
        """
        takes_all = self._handle_tool_errors is True or isinstance(
            self._handle_tool_errors, str
        )
        if isinstance(err, ToolFailedError) and takes_all:
            return
        if any(err is each for each in escaped):
            raise _Raised(err)

    def _run_one(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._run_one(*args, **kwargs)
        except _Raised as passed:
            raise passed.error from None

    async def _arun_one(self, *args: Any, **kwargs: Any) -> Any:
        if self._aouter is None and self._outer is not None:
            # As LangGraph does with a wrapper in the sync form alone, and off its event loop.
            return await anyio.to_thread.run_sync(partial(self._run_one, *args, **kwargs))
        try:
            return await super()._arun_one(*args, **kwargs)
        except _Raised as passed:
            raise passed.error from None
