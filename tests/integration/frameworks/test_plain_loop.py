"""Loops without a framework: tool calls in the forms of two APIs, answered as JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from graphs import Form, World

from permissions.integrations.plain_loop import adispatch, dispatch, tools_schema
from wardline import NoSessionError, ToolDefinitionError, tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def chat(name: str, args: Any, call: str = "c1") -> Any:
    text = args if isinstance(args, str) else json.dumps(args)
    return {"id": call, "type": "function", "function": {"name": name, "arguments": text}}


def responses(name: str, args: Any, call: str = "c1") -> Any:
    text = args if isinstance(args, str) else json.dumps(args)
    return {"type": "function_call", "call_id": call, "name": name, "arguments": text}


def anthropic(name: str, args: Any, call: str = "c1") -> Any:
    """As the client's object, which dumps itself."""
    shown = {"type": "tool_use", "id": call, "name": name, "input": args}
    return SimpleNamespace(model_dump=lambda: shown)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Form("sync", "sync", "sync"), tmp_path)


@pytest.mark.parametrize("form", [chat, responses, anthropic])
async def test_calls_of_each_form_are_answered(world: World, form: Callable[..., Any]) -> None:
    async with world.session():
        done = json.loads(dispatch(form("note", {"text": "a", "times": 2})))
        refused = json.loads(dispatch(form("read", {"path": "/etc/passwd"}, "c2")))
        unknown = json.loads(dispatch(form("format_disk", {}, "c3")))
        wrong = json.loads(dispatch(form("note", {"text": "a", "times": "often"}, "c4")))

    assert done == {"result": "aa"}
    assert refused["reasons"][0]["code"] == "filesystem.outside"
    assert unknown["reasons"][0]["code"] == "tool.unregistered"
    assert wrong["reasons"][0]["code"] == "arguments.invalid"
    assert world.ran == ["note a"]


@pytest.mark.parametrize("arguments", ["{not json", "[1]", '"text"', "", "null"])
async def test_what_are_no_arguments_is_refused(world: World, arguments: str) -> None:
    async with world.session():
        told = json.loads(dispatch(chat("note", arguments)))

    assert told["reasons"][0]["code"] == "arguments.invalid"
    assert world.ran == []


async def test_a_held_call_runs_once_after_its_person_said_yes(world: World) -> None:
    asked = chat("delete", {"name": "x"})

    async with world.session():
        assert json.loads(dispatch(asked))["status"] == "pending"
        await world.vote("x")
        assert json.loads(dispatch(asked)) == {"result": "deleted x"}
        assert json.loads(dispatch(asked)) == {"result": "deleted x"}

    assert world.ran == ["delete x"]


async def test_a_tool_that_fails_is_an_answer_too(world: World) -> None:
    @tool(effect="read", impact="low")
    def breaks() -> str:
        """Breaks."""
        raise ValueError("broken")

    world.tools.append(breaks)
    async with world.session():
        told = json.loads(dispatch(chat("breaks", {})))

    assert told == {"status": "failed", "error": "ValueError: broken"}


async def test_async_tools_are_awaited(tmp_path: Path) -> None:
    world = World(Form("async", "async", "async"), tmp_path)
    async with world.session():
        assert json.loads(await adispatch(chat("note", {"text": "a"}))) == {"result": "a"}
        with pytest.raises(ToolDefinitionError, match="adispatch"):
            dispatch(chat("note", {"text": "a"}))


async def test_what_is_no_tool_call_and_a_loop_without_a_session_are_told(world: World) -> None:
    async with world.session():
        for given in ({}, {"type": "text"}, None, chat("note", {}, "")):
            with pytest.raises(ToolDefinitionError):
                dispatch(given)
    with pytest.raises(NoSessionError, match="inside"):
        dispatch(chat("note", {"text": "a"}))


def test_tools_are_told_in_each_apis_form(world: World) -> None:
    shown = {
        style: tools_schema(world.tools[:1], style)[0]
        for style in ("openai-chat", "openai-responses", "anthropic")
    }

    assert shown["openai-chat"]["function"]["parameters"]["required"] == ["text"]
    assert shown["openai-responses"]["name"] == "note"
    assert shown["anthropic"]["input_schema"]["type"] == "object"
    with pytest.raises(ToolDefinitionError, match="gemini"):
        tools_schema(world.tools, "gemini")  # type: ignore[arg-type]
