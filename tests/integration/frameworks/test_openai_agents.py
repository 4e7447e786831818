"""The OpenAI Agents SDK's own runner, driven through guarded tools by its scripted model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agents import Agent, RunConfig, RunContextWrapper, Runner, RunState, tool_input_guardrail
from agents.exceptions import UserError
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tool_guardrails import ToolGuardrailFunctionOutput
from graphs import Form, World

from permissions.integrations.openai_agents import guard_tools, resume
from wardline import ToolDefinitionError, tool

if TYPE_CHECKING:
    from pathlib import Path

QUIET = RunConfig(tracing_disabled=True)


pytestmark = pytest.mark.slow  # the framework takes seconds to import


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Form("async", "async", "async"), tmp_path)


def agent(world: World, *turns: list[tuple[str, Any]], **options: Any) -> Agent[Any]:
    """Each turn calls tools, with ids that count through all of them; then it says done."""
    steps: list[Any] = []
    number = 0
    for each in turns:
        calls = []
        for name, args in each:
            calls.append(function_call(name, args, call_id=f"call-{number}"))
            number += 1
        steps.append(calls)
    model = ScriptedModel([*steps, [assistant_message("done")]])
    return Agent("desk", model=model, tools=guard_tools(world.tools, **options))


def outputs(result: Any) -> list[Any]:
    """What the tools gave the model."""
    return [
        each["output"]
        for each in result.to_input_list()
        if each.get("type", "").endswith("output")
    ]


async def test_allowed_calls_run_in_parallel_and_give_what_the_tool_returned(
    world: World,
) -> None:
    made = agent(world, [("note", {"text": "a", "times": 2}), ("note", {"text": "b"})])

    async with world.session():
        result = await Runner.run(made, "go", run_config=QUIET)

    assert result.final_output == "done"
    assert outputs(result) == ["aa", "b"]
    assert sorted(world.ran) == ["note a", "note b"]


async def test_a_denied_call_is_an_answer_that_says_what_to_do(world: World) -> None:
    made = agent(world, [("read", {"path": "/etc/passwd"})])

    async with world.session():
        result = await Runner.run(made, "go", run_config=QUIET)

    told = json.loads(outputs(result)[0])
    assert (told["status"], told["reasons"][0]["code"]) == ("denied", "filesystem.outside")
    assert not result.interruptions, "a denial is decided before anybody is asked"
    assert world.ran == []


async def test_a_held_call_runs_once_after_its_person_said_yes(world: World) -> None:
    """By the SDK's own pause, over two broker processes; the same state again runs nothing."""
    made = agent(world, [("note", {"text": "a"}), ("delete", {"name": "x"})])

    async with world.session():
        held = await Runner.run(made, "go", run_config=QUIET)
        assert [each.tool_name for each in held.interruptions] == ["delete"]
        (asked,) = await world.requests()
        assert asked.call.tool == "delete"
        saved = held.to_state().to_string()

        still = await resume(made, held.to_state(), run_config=QUIET)
        assert still.interruptions, "nobody has answered"
        await world.vote("x")

    async with world.session():
        state = await RunState.from_string(made, saved)
        result = await resume(made, state, run_config=QUIET)
        made.model = ScriptedModel([[assistant_message("done")]])
        again = await resume(made, await RunState.from_string(made, saved), run_config=QUIET)

    assert outputs(result) == ["a", "deleted x"] == outputs(again)
    assert world.ran == ["note a", "delete x"]


async def test_a_no_is_told_to_the_model(world: World) -> None:
    made = agent(world, [("delete", {"name": "x"})])

    async with world.session():
        held = await Runner.run(made, "go", run_config=QUIET)
        await world.vote("x", "deny")
        result = await resume(made, held.to_state(), run_config=QUIET)

    assert json.loads(outputs(result)[0])["reasons"][0]["code"] == "approval.denied"
    assert world.ran == []


async def test_an_approval_in_the_state_alone_runs_nothing(world: World) -> None:
    made = agent(world, [("delete", {"name": "x"})])

    async with world.session():
        held = await Runner.run(made, "go", run_config=QUIET)
        state = held.to_state()
        for each in state.get_interruptions():
            state.approve(each, always_approve=True)
        result = await Runner.run(made, state, run_config=QUIET)

    assert json.loads(outputs(result)[0])["status"] == "pending"
    assert world.ran == []


async def test_an_approval_that_is_there_already_asks_nobody_again(world: World) -> None:
    """A program that lost its state starts its run again; the ids are the API's."""
    async with world.session():
        await Runner.run(agent(world, [("delete", {"name": "x"})]), "go", run_config=QUIET)
        await world.vote("x")
        made = agent(world, [("delete", {"name": "x"})])
        result = await Runner.run(made, "go", run_config=QUIET)

    assert outputs(result) == ["deleted x"]
    assert world.ran == ["delete x"]


async def test_a_guardrail_of_the_sdk_stops_a_call_that_was_never_decided(world: World) -> None:
    @tool_input_guardrail
    def never(_: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.reject_content("not today")

    made = agent(world, [("note", {"text": "a"})], tool_input_guardrails=[never])

    async with world.session() as session:
        result = await Runner.run(made, "go", run_config=QUIET)
        assert not session.history.begun

    assert outputs(result) == ["not today"]


async def test_streamed_runs_are_guarded_alike(world: World) -> None:
    made = agent(world, [("note", {"text": "a"}), ("read", {"path": "/etc/passwd"})])

    async with world.session():
        streamed = Runner.run_streamed(made, "go", run_config=QUIET)
        async for _ in streamed.stream_events():
            pass

    assert streamed.final_output == "done"
    assert world.ran == ["note a"]


async def test_arguments_that_are_no_json_are_refused_by_the_broker(world: World) -> None:
    made = agent(world, [("note", "{not json")])

    async with world.session():
        first = await Runner.run(made, "go", run_config=QUIET)
        result = await resume(made, first.to_state(), run_config=QUIET)

    assert json.loads(outputs(result)[0])["reasons"][0]["code"] == "arguments.invalid"
    assert world.ran == []


async def test_a_tool_gets_the_sdks_context(world: World) -> None:
    @tool(effect="read", impact="low")
    async def who(ctx: RunContextWrapper[str], greeting: str) -> str:
        """Says who asks."""
        return f"{greeting} {ctx.context}"

    world.tools.append(who)
    made = agent(world, [("who", {"greeting": "hi"})])

    async with world.session():
        result = await Runner.run(made, "go", context="alice", run_config=QUIET)

    assert outputs(result) == ["hi alice"]


async def test_without_a_session_nothing_is_called(world: World) -> None:
    made = agent(world, [("note", {"text": "a"})])

    with pytest.raises(UserError, match="inside"):
        await Runner.run(made, "go", run_config=QUIET)
    assert world.ran == []


def test_a_function_that_is_not_guarded_is_refused() -> None:
    with pytest.raises(ToolDefinitionError):
        guard_tools([print])
