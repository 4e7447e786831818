"""One agent in each framework that says what it is told to, in this process or one of its own.

    framework_agents.py FRAMEWORK FOLDER

runs the agent of `CALLS_OF_A_MORTAL` in a process that is killed in the middle of a tool.

Each is the framework's real package with a scripted model, and its own way to wait for people
and to go on: what it saves for that lies in the folder. A loop without a framework saves nothing,
and asks again with the ids the model's API gave.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from graphs import DONE, Asked, ScriptedModel, answers, configured, turn

from wardline import PathArg, open_broker, open_session, tool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RUN = "thread-1"
CALLS_OF_A_MORTAL = (Asked("mortal", {"name": "ann"}, "c1"),)


@dataclass
class Ended:
    """What a run of an agent came to.

    Attributes:
        told: what the model read of each call, by the call's id.
        held: whether it waits for a person.
    """

    told: dict[str, str] = field(default_factory=dict)
    held: bool = False


def tools_of(folder: Path) -> list[Any]:
    """What agents may call; each run of one adds a line to `effects`."""

    def effect(said: str) -> None:
        with (folder / "effects").open("a") as file:
            file.write(f"{said}\n")
            file.flush()
            os.fsync(file.fileno())

    @tool(effect="read", impact="low")
    async def note(text: str) -> str:
        """Takes a note."""
        effect(f"note {text}")
        return f"noted {text}"

    @tool(effect="read", impact="low")
    async def read(path: Annotated[str, PathArg("read")]) -> str:
        """Reads a file."""
        effect(f"read {path}")
        return "secret"

    @tool(effect="write", impact="high")
    async def delete(name: str) -> str:
        """Deletes a thing."""
        effect(f"delete {name}")
        return f"deleted {name}"

    @tool(effect="read", impact="low")
    async def sleep(name: str) -> str:
        """Never ends by itself."""
        effect(f"sleep {name}")
        await anyio.sleep_forever()
        return name

    @tool(effect="read", impact="low")
    async def mortal(name: str) -> str:
        """Its process is killed while it runs, where that is not the tests'."""
        effect(f"mortal {name}")
        if sys.argv[0] == __file__:
            os.kill(os.getpid(), signal.SIGKILL)
        return name

    return [note, read, delete, sleep, mortal]


async def run(
    framework: str, folder: Path, *calls: Asked, stream: bool = False, deadline: int = 120
) -> Ended:
    """Runs the agent, or goes on with it where it was left."""
    tools = tools_of(folder)
    config = configured(folder).model_copy(update={"call_deadline_seconds": deadline})
    async with (
        open_broker(config, tools) as broker,
        open_session(broker, user="alice", run=RUN, approval_mode="suspend"),
    ):
        return await AGENTS[framework](tools, calls, folder, stream)


async def _langchain(tools: Any, calls: Any, folder: Path, stream: bool) -> Ended:  # noqa: FBT001
    from langchain.agents import create_agent
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    from wardline.langchain import WardlineMiddleware

    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        model = ScriptedModel(script=[turn(*calls), DONE])
        agent = create_agent(model, middleware=[WardlineMiddleware(tools)], checkpointer=saver)
        return await _graph(agent, stream=stream)


async def _langgraph(tools: Any, calls: Any, folder: Path, stream: bool) -> Ended:  # noqa: FBT001
    from graphs import agent
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    from wardline.langgraph import guard_node

    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        graph = agent(guard_node(tools), [turn(*calls), DONE], saver=saver)
        return await _graph(graph, stream=stream)


async def _graph(graph: Any, *, stream: bool) -> Ended:
    from wardline.langgraph import aresume

    config: Any = {"configurable": {"thread_id": RUN}}
    given = {"messages": [("user", "go")]}
    # By default a tool may begin before the checkpoint that names its call is on the disk.
    durable: Any = {"durability": "sync"}
    if (await graph.aget_state(config)).values:
        await aresume(graph, config, **durable)
    elif stream:
        modes = ["updates", "messages"]
        async for _ in graph.astream(given, config, stream_mode=modes, **durable):
            pass
    else:
        await graph.ainvoke(given, config, **durable)
    state = await graph.aget_state(config)
    told = {key: str(each.content) for key, each in answers(state.values).items()}
    return Ended(told, held=bool(state.interrupts))


async def _openai_agents(tools: Any, calls: Any, folder: Path, stream: bool) -> Ended:  # noqa: FBT001
    from agents import Agent, RunConfig, Runner, RunState
    from agents.testing import ScriptedModel as Model
    from agents.testing import assistant_message, function_call

    from wardline.openai_agents import guard_tools, resume

    saved, quiet = folder / "state.json", RunConfig(tracing_disabled=True)
    asked = [function_call(each.tool, each.args, call_id=each.id) for each in calls]
    steps: list[Any] = [[assistant_message("done")]]
    agent: Any = Agent("desk", tools=guard_tools(tools))
    agent.model = Model(steps if saved.exists() else [asked, *steps])
    if saved.exists():
        state = await RunState.from_string(agent, saved.read_text())
        result: Any = await resume(agent, state, run_config=quiet)
    elif stream:
        result = Runner.run_streamed(agent, "go", run_config=quiet)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent, "go", run_config=quiet)
    if result.interruptions:
        saved.write_text(result.to_state().to_string())
    told = {
        each["call_id"]: str(each["output"])
        for each in result.to_input_list()
        if each.get("type") == "function_call_output"
    }
    return Ended(told, held=bool(result.interruptions))


async def _pydantic_ai(tools: Any, calls: Any, folder: Path, stream: bool) -> Ended:  # noqa: FBT001
    from pydantic_ai import Agent, DeferredToolRequests
    from pydantic_ai.messages import (
        ModelMessagesTypeAdapter,
        ModelResponse,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
    )
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    from wardline.pydantic_ai import go_on, guarded

    def said(messages: list[Any], _: Any) -> ModelResponse:
        if any(isinstance(each, ModelResponse) for each in messages):
            return ModelResponse([TextPart("done")])
        return ModelResponse([ToolCallPart(c.tool, c.args, tool_call_id=c.id) for c in calls])

    async def streamed(messages: list[Any], info: Any) -> Any:
        parts = said(messages, info).parts
        asked = [part for part in parts if isinstance(part, ToolCallPart)]
        for number, part in enumerate(asked):
            args = json.dumps(part.args)
            yield {number: DeltaToolCall(part.tool_name, args, tool_call_id=part.tool_call_id)}
        if not asked:
            yield "done"

    agent: Any = Agent(
        FunctionModel(said, stream_function=streamed),
        toolsets=[guarded(tools)],
        output_type=[str, DeferredToolRequests],
    )
    saved, waiting = folder / "messages.json", folder / "waiting.json"
    if saved.exists():
        history = ModelMessagesTypeAdapter.validate_json(saved.read_bytes())
        ids = json.loads(waiting.read_text())
        parts = (part for message in history for part in message.parts)
        held: Any = [part for part in parts if getattr(part, "tool_call_id", None) in ids]
        requests = DeferredToolRequests(approvals=held)
        result: Any = await agent.run(
            message_history=history, deferred_tool_results=go_on(requests)
        )
    elif stream:
        async with agent.run_stream_events("go") as events:
            result = [getattr(event, "result", None) async for event in events][-1]
    else:
        result = await agent.run("go")
    is_held = isinstance(result.output, DeferredToolRequests)
    if is_held:
        saved.write_bytes(result.all_messages_json())
        waiting.write_text(json.dumps([each.tool_call_id for each in result.output.approvals]))
    told = {
        part.tool_call_id: str(part.content)
        for message in result.all_messages()
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }
    return Ended(told, held=is_held)


async def _plain_loop(_: Any, calls: Any, __: Path, stream: bool) -> Ended:  # noqa: FBT001 - what streams is the model alone
    from wardline.plain_loop import adispatch

    ended = Ended()

    async def answer(call: Asked) -> None:
        function = {"name": call.tool, "arguments": json.dumps(call.args)}
        asked = {"type": "function", "id": call.id, "function": function}
        told = json.loads(await adispatch(asked))
        ended.held = ended.held or told.get("status") == "pending"
        ended.told[call.id] = str(told["result"]) if "result" in told else json.dumps(told)

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(answer, call)
    return ended


AGENTS: dict[str, Callable[[Any, Any, Path, bool], Awaitable[Ended]]] = {
    "langgraph": _langgraph,
    "langchain": _langchain,
    "openai-agents": _openai_agents,
    "pydantic-ai": _pydantic_ai,
    "plain-loop": _plain_loop,
}

if __name__ == "__main__":
    anyio.run(run, sys.argv[1], Path(sys.argv[2]), *CALLS_OF_A_MORTAL)
