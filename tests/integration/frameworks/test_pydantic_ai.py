"""Pydantic AI's own agent, driven through the guarded toolset by its `FunctionModel`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from graphs import Form, World
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
    ToolApproved,
)
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from permissions.integrations.pydantic_ai import go_on, guarded
from wardline import NoSessionError, ToolDefinitionError, tool

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.slow  # the framework takes seconds to import


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Form("async", "async", "async"), tmp_path)


def agent(world: World, *script: list[tuple[str, Any]], tools: Any = None) -> Agent[Any, Any]:
    """Says what its script says: each turn calls tools, ids counted in it; then text."""

    def said(messages: list[Any], _: AgentInfo) -> ModelResponse:
        turn = sum(isinstance(each, ModelResponse) for each in messages)
        if turn >= len(script):
            return ModelResponse([TextPart("done")])
        return ModelResponse(
            [
                ToolCallPart(name, args, tool_call_id=f"call-{number}")
                for number, (name, args) in enumerate(script[turn])
            ]
        )

    async def streamed(messages: list[Any], info: AgentInfo) -> Any:
        from pydantic_ai.models.function import DeltaToolCall

        for number, part in enumerate(said(messages, info).parts):
            if isinstance(part, TextPart):
                yield part.content
            else:
                yield {
                    number: DeltaToolCall(
                        part.tool_name, json.dumps(part.args), tool_call_id=part.tool_call_id
                    )
                }

    return Agent(
        FunctionModel(said, stream_function=streamed),
        toolsets=[guarded(tools or world.tools)],
        output_type=[str, DeferredToolRequests],
    )


def returns(result: Any) -> list[Any]:
    """What the tools gave the model."""
    return [
        part.content
        for message in result.all_messages()
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    ]


async def go_further(made: Agent[Any, Any], held: Any) -> Any:
    return await made.run(
        message_history=held.all_messages(), deferred_tool_results=go_on(held.output)
    )


async def test_allowed_calls_run_in_parallel_and_give_what_the_tool_returned(
    world: World,
) -> None:
    made = agent(world, [("note", {"text": "a", "times": 2}), ("note", {"text": "b"})])

    async with world.session():
        result = await made.run("go")

    assert result.output == "done"
    assert returns(result) == ["aa", "b"]
    assert sorted(world.ran) == ["note a", "note b"]


async def test_a_denied_call_is_a_failed_return_that_says_what_to_do(world: World) -> None:
    made = agent(world, [("read", {"path": "/etc/passwd"})])

    async with world.session():
        result = await made.run("go")

    (said,) = returns(result)
    told = json.loads(said)
    assert (told["status"], told["reasons"][0]["code"]) == ("denied", "filesystem.outside")
    assert told["advice"].startswith("Do not repeat")
    assert result.output == "done"
    assert world.ran == []


async def test_a_held_call_runs_once_after_its_person_said_yes(world: World) -> None:
    """By the framework's own pause, over two broker processes; the second use runs nothing."""
    made = agent(world, [("note", {"text": "a"}), ("delete", {"name": "x"})])

    async with world.session():
        held = await made.run("go")
        assert isinstance(held.output, DeferredToolRequests)
        (asked,) = await world.requests()
        (metadata,) = held.output.metadata.values()
        assert metadata == {"access_request": asked.id, "tool": "delete"}

        still = await go_further(made, held)
        assert isinstance(still.output, DeferredToolRequests), "nobody has answered"
        await world.vote("x")
    async with world.session():
        result = await go_further(made, held)
        again = await go_further(made, held)

    assert returns(result) == ["a", "deleted x"] == returns(again)
    assert world.ran == ["note a", "delete x"]


async def test_a_no_is_told_to_the_model(world: World) -> None:
    made = agent(world, [("delete", {"name": "x"})])

    async with world.session():
        held = await made.run("go")
        await world.vote("x", "deny")
        result = await go_further(made, held)

    told = json.loads(returns(result)[-1])
    assert told["reasons"][0]["code"] == "approval.denied"
    assert world.ran == []


async def test_an_approval_by_the_framework_alone_runs_nothing(world: World) -> None:
    """Nor do arguments that it puts in the place of the model's."""
    made = agent(world, [("delete", {"name": "x"})])

    async with world.session():
        held = await made.run("go")
        await world.vote("x")
        results = DeferredToolResults(
            approvals={"call-0": ToolApproved(override_args={"name": "y"})}
        )
        result = await made.run(
            message_history=held.all_messages(), deferred_tool_results=results
        )

    assert isinstance(result.output, DeferredToolRequests)
    assert world.ran == []


async def test_an_id_that_comes_again_in_a_later_turn_is_another_call(world: World) -> None:
    call = [("note", {"text": "a"})]
    made = agent(world, call, call)

    async with world.session():
        result = await made.run("go")

    assert returns(result) == ["a", "a"]
    assert world.ran == ["note a", "note a"]


async def test_streamed_runs_are_guarded_alike(world: World) -> None:
    made = agent(world, [("note", {"text": "a"}), ("read", {"path": "/etc/passwd"})])

    async with world.session(), made.run_stream("go") as streamed:
        assert await streamed.get_output() == "done"

    assert world.ran == ["note a"]


async def test_arguments_that_fit_no_schema_are_refused_by_the_broker(world: World) -> None:
    made = agent(world, [("note", {"text": "a", "times": "often"})])

    async with world.session():
        result = await made.run("go")

    assert json.loads(returns(result)[0])["reasons"][0]["code"] == "arguments.invalid"
    assert world.ran == []


async def test_the_tools_own_exception_is_the_frameworks_business(world: World) -> None:
    @tool(effect="read", impact="low")
    async def breaks() -> str:
        """Breaks."""
        raise ValueError("broken")

    world.tools.append(breaks)
    made = agent(world, [("breaks", {})])

    async with world.session():
        with pytest.raises(ValueError, match="broken"):
            await made.run("go")


async def test_a_tool_gets_the_frameworks_context(world: World) -> None:
    @tool(effect="read", impact="low")
    async def who(ctx: RunContext[str], greeting: str) -> str:
        """Says who asks."""
        return f"{greeting} {ctx.deps}"

    world.tools.append(who)
    made = agent(world, [("who", {"greeting": "hi"})])

    async with world.session():
        result = await made.run("go", deps="alice")

    assert returns(result) == ["hi alice"]


async def test_without_a_session_nothing_is_called(world: World) -> None:
    made = agent(world, [("note", {"text": "a"})])

    with pytest.raises(NoSessionError, match="inside"):
        await made.run("go")
    assert world.ran == []


def test_a_function_that_is_not_guarded_is_refused() -> None:
    with pytest.raises(ToolDefinitionError):
        guarded([print])
