"""`WardlineMiddleware`: LangChain's `create_agent`, with each call of a tool decided."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from graphs import DONE, Asked, Form, ScriptedModel, World, answers, turn
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.tools import tool as framework_tool

from permissions.errors import ToolDefinitionError
from permissions.integrations.langchain import WardlineMiddleware
from permissions.integrations.langgraph import langchain_tools
from wardline import tool

if TYPE_CHECKING:
    from pathlib import Path

FORMS = [Form("sync", "sync", "sync"), Form("async", "async", "async")]


@pytest.fixture(params=FORMS, ids="-".join)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


def agent(
    world: World, *calls: Asked, before: tuple[Any, ...] = (), after: tuple[Any, ...] = ()
) -> Any:
    layers = [*before, WardlineMiddleware(world.tools), *after]
    model = ScriptedModel(script=[turn(*calls), DONE])
    return create_agent(model, middleware=layers, checkpointer=world.saver)


def code_of(message: Any) -> str:
    return json.loads(message.content)["reasons"][0]["code"]


async def test_calls_are_allowed_denied_and_held(world: World) -> None:
    """From one list of tools; the held one runs once its person said yes."""
    graph = agent(
        world,
        Asked("note", {"text": "a"}, "1"),
        Asked("read", {"path": "/etc/passwd"}, "2"),
        Asked("delete", {"name": "x"}, "3"),
    )

    async with world.session():
        await world.run(graph)
        (held,) = await world.pending(graph)
        assert held.tool == "delete"
        await world.vote('"x"')
        state = await world.resume(graph)

    told = answers(state)
    assert told["1"].content == "a"
    assert code_of(told["2"]) == "filesystem.outside"
    assert told["3"].content == "deleted x"
    assert sorted(world.ran) == ["delete x", "note a"]


@pytest.mark.parametrize("ids", [("1", "1"), ("", "")], ids=["same", "empty"])
async def test_calls_of_one_message_with_one_id_are_two(
    world: World, ids: tuple[str, str]
) -> None:
    graph = agent(
        world, Asked("note", {"text": "a"}, ids[0]), Asked("note", {"text": "b"}, ids[1])
    )

    async with world.session():
        await world.run(graph)

    assert sorted(world.ran) == ["note a", "note b"]


class Swap(AgentMiddleware[Any, Any, Any]):
    """Puts another tool in the place of the one that was asked for."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(tool=self.other))

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(request.override(tool=self.other))


@pytest.mark.parametrize("where", ["before", "after"])
async def test_the_tool_that_runs_is_the_one_that_was_decided(world: World, where: str) -> None:
    @tool(effect="read", impact="low")
    def shred(text: str, times: int = 1) -> str:
        """Takes what a note takes."""
        world.ran.append(f"shred {text}")
        return text * times

    world.tools.append(shred)
    (other,) = langchain_tools([shred])
    layers: Any = {where: (Swap(other),)}
    graph = agent(world, Asked("note", {"text": "a"}), **layers)

    async with world.session():
        state = await world.run(graph)

    if where == "before":  # the decision is about the tool that runs
        assert world.ran == ["shred a"]
    else:
        assert world.ran == []
        assert code_of(answers(state)["call-1"]) == "call.changed"


async def test_a_tool_that_nobody_guarded_is_not_run(world: World) -> None:
    ran: list[str] = []

    @framework_tool
    def wipe(disk: str) -> str:
        """Wipes a disk."""
        ran.append(disk)
        return "done"

    model = ScriptedModel(script=[turn(Asked("wipe", {"disk": "c"})), DONE])
    graph = create_agent(model, [wipe], middleware=[WardlineMiddleware(world.tools)])

    async with world.session():
        with pytest.raises(ToolDefinitionError, match="guard"):
            await world.run(graph)

    assert ran == []


def test_what_is_not_guarded_is_refused_when_the_agent_is_made() -> None:
    with pytest.raises(ToolDefinitionError, match="not a guarded tool"):
        WardlineMiddleware([print])


def test_a_tool_decorated_is_one_of_langchains() -> None:
    @tool(effect="read", impact="low")
    def look(where: str) -> str:
        """Looks."""
        return where

    (made,) = WardlineMiddleware([look]).tools
    assert (made.name, made.description, [*made.args]) == ("look", "Looks.", ["where"])
