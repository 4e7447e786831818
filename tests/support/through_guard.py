"""A pytest plugin that runs LangGraph's and LangChain's own tests with every tool under a broker.

Loaded by `-p through_guard` beside a framework's unpacked tests, which are not changed: each tool
node they build is a guarded one, each agent has `WardlineMiddleware` behind its own middleware,
and each call is in a session of its graph's thread. The broker is in memory and permits all: what
is asked here is not what is allowed, but whether a framework's own meaning is left as it was.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import langchain.agents
import langchain.agents.factory
import langgraph.prebuilt
import langgraph.prebuilt.chat_agent_executor
import langgraph.prebuilt.tool_node
import pytest
from anyio.from_thread import start_blocking_portal
from langchain.agents.middleware import AgentMiddleware
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as framework_tool

from permissions.integrations import _langgraph_node
from permissions.integrations import langchain as adapter
from permissions.integrations._langgraph_guard import CallGuard
from permissions.integrations.langgraph import langchain_tools
from permissions.sessions.open import open_session
from permissions.sync import _handle
from permissions.testing import memory_broker, permitted
from permissions.tools.context import CURRENT_SESSION
from permissions.tools.decorator import guard_of
from permissions.trace.sealing import _dictionary
from wardline import guard

try:
    from blockbuster.blockbuster import _skip
except ImportError:
    _skip: Any = None  # type: ignore[no-redef]

if TYPE_CHECKING:
    from collections.abc import Iterator


def under_broker(given: Any) -> Any:
    """A tool of a test as a guarded one of LangChain's; what is no tool is left alone."""
    if isinstance(given, dict) or hasattr(type(given), "guard"):
        return given
    with set_up():
        plain = given if isinstance(given, BaseTool) else framework_tool(given)
        guarded = guard(plain, effect="read", impact="low", idempotent=True)
        (made,) = langchain_tools([guarded])
        _ = guarded.guard.definition  # as an opening broker does
    return made


@contextmanager
def set_up() -> Iterator[None]:
    """What a program does before its loop runs; LangChain's tests forbid blocking in theirs."""
    if _skip is None:
        yield
        return
    before, _skip.value = _skip.value, True
    try:
        yield
    finally:
        _skip.value = before


class World:
    """The broker of the test that runs, and its sessions by thread."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._stack = ExitStack()
        with set_up():
            self._portal = self._stack.enter_context(start_blocking_portal())
            opened = memory_broker([], decide=lambda _: permitted())
            self._broker = self._entered(opened)
        self._handles: dict[str, Any] = {}

    def handle(self, request: Any) -> Any:
        """The session of a graph's thread; its broker knows the tool that is called."""
        info = getattr(request.runtime, "execution_info", None)
        thread = (info.thread_id if info is not None else None) or "no thread"
        with self._lock, set_up():
            if request.tool is not None:
                definition = guard_of(request.tool).definition
                self._broker.parts.registry._definitions[definition.name] = definition
            return self.session(thread)

    def session(self, thread: str) -> Any:
        """The session of a thread."""
        if thread not in self._handles:
            opened = open_session(self._broker, user="kim", run=thread, prompt="go")
            session = self._entered(opened)
            self._handles[thread] = _handle(self._portal, self._broker, session)
        return self._handles[thread]

    def _entered(self, manager: Any) -> Any:
        return self._stack.enter_context(self._portal.wrap_async_context_manager(manager))

    def close(self) -> None:
        """Ends its sessions and its broker."""
        with set_up():
            self._stack.close()


WORLD: list[World] = []


def _without_mocks(request: Any) -> Any:
    """Some tests call a node outside of any graph, with a mock as the runtime's information."""
    if isinstance(getattr(request.runtime, "execution_info", None), Mock):
        return request.override(runtime=replace(request.runtime, execution_info=None))
    return request


class SessionGuard(CallGuard):
    """A `CallGuard` whose calls find a session of their graph's thread."""

    def wrap_tool_call(self, request: Any, execute: Any) -> Any:
        request = _without_mocks(request)
        token = CURRENT_SESSION.set(WORLD[-1].handle(request))
        try:
            return super().wrap_tool_call(request, execute)
        finally:
            CURRENT_SESSION.reset(token)

    async def awrap_tool_call(self, request: Any, execute: Any) -> Any:
        request = _without_mocks(request)
        token = CURRENT_SESSION.set(WORLD[-1].handle(request))
        try:
            return await super().awrap_tool_call(request, execute)
        finally:
            CURRENT_SESSION.reset(token)


class ToolNode(_langgraph_node.GuardedToolNode):
    """A tool node of a test, under the broker."""

    def __init__(self, tools: Any, **options: Any) -> None:
        super().__init__([under_broker(each) for each in tools], **options)


PLAIN_OVERRIDE = langgraph.prebuilt.tool_node.ToolCallRequest.override


def override(self: Any, **changes: Any) -> Any:
    """Middleware that puts a tool in of its own puts in a guarded one."""
    if isinstance(changes.get("tool"), BaseTool):
        changes["tool"] = under_broker(changes["tool"])
    return PLAIN_OVERRIDE(self, **changes)


PLAIN_AGENT = langchain.agents.factory.create_agent


def agent(model: Any, tools: Any = None, *, middleware: Any = (), **options: Any) -> Any:
    """`create_agent` with every tool guarded, and the broker's middleware last."""
    guarded = [under_broker(each) for each in tools or ()]
    around = []
    wraps = bool(guarded)
    for each in middleware:
        has = list(getattr(each, "tools", ()) or ())
        if has:
            each = copy(each)  # noqa: PLW2901 - one with guarded tools
            each.tools = [under_broker(one) for one in has]
        kind = type(each)
        wraps = wraps or bool(has) or kind.wrap_tool_call is not AgentMiddleware.wrap_tool_call
        wraps = wraps or kind.awrap_tool_call is not AgentMiddleware.awrap_tool_call
        around.append(each)
    if wraps:
        around.append(adapter.WardlineMiddleware())
    return PLAIN_AGENT(model, guarded, middleware=around, **options)


def pytest_configure() -> None:
    """Puts the guarded forms where the tests import the plain ones from."""
    world = World()
    world.session("what a process reads once")
    world.close()
    _dictionary()
    adapter.CallGuard = _langgraph_node.CallGuard = SessionGuard  # type: ignore[misc, attr-defined]
    langgraph.prebuilt.ToolNode = ToolNode  # type: ignore[misc]
    langgraph.prebuilt.chat_agent_executor.ToolNode = ToolNode  # type: ignore[misc]
    langgraph.prebuilt.tool_node.ToolNode = ToolNode  # type: ignore[misc]
    langchain.agents.factory.create_agent = agent  # type: ignore[attr-defined]
    langgraph.prebuilt.tool_node.ToolCallRequest.override = override  # type: ignore[method-assign]
    langchain.agents.create_agent = agent  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def world_of_the_test() -> Iterator[None]:
    """A broker of its own for each test."""
    WORLD.append(World())
    try:
        yield
    finally:
        WORLD.pop().close()
