"""A tool that works on the workspace is to LangGraph a tool like any other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from copying import TOOLS as COPYING
from copying import search
from editing import change
from graphs import DONE as DONE_MESSAGE
from graphs import OLGA, Asked, agent, answers, turn, vote_on
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from permissions.integrations.langgraph import aresume, guard_node
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.trace.verify import verify_trace
from wardline import tool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.bwrap


@tool(effect="write", impact="high")
async def pay(amount: int) -> str:
    """Pays; a person has to look."""
    return f"paid {amount}"


@pytest.mark.slow
async def test_kept_changes_are_its_result_and_discarded_ones_its_error(tmp_path: Path) -> None:
    """In a graph that can suspend, what needs a person says that a waiting session is needed."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "a").write_text("one\n")
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=workspace,
        approvers={"olga": ApproverConfig(groups=("operators",), public_key=str(OLGA.public))},
        sandbox={"backends": ("bubblewrap",), "prewarmed": 0},
    )
    asked = [
        Asked("change", {"script": "echo two >> a; cat a"}, "keeps"),
        Asked("change", {"script": "rm a"}, "deletes"),
    ]
    graph = agent(
        guard_node([change]),
        [turn(asked[0]), turn(asked[1]), DONE_MESSAGE],
        saver=InMemorySaver(),
    )

    async with (
        open_broker(config, [change]) as broker,
        open_session(broker, user="alice", run="thread-1", approval_mode="suspend"),
    ):
        state = await graph.ainvoke(
            {"messages": [HumanMessage("go")]}, {"configurable": {"thread_id": "thread-1"}}
        )

    assert "__interrupt__" not in state
    kept, lost = answers(state)["keeps"], answers(state)["deletes"]
    assert (kept.status, kept.content) == ("success", "one\ntwo\n")
    assert lost.status == "error"
    assert json.loads(str(lost.content))["reasons"][0]["code"] == "effects.need_wait"
    assert (workspace / "a").read_text() == "one\ntwo\n"
    report = verify_trace(config.state / "trace")
    assert report.is_intact
    assert report.completeness.is_whole


@pytest.mark.parametrize("after", ["at once", "run again"])
async def test_the_model_is_told_what_a_tool_could_not_see(tmp_path: Path, after: str) -> None:
    """Also when the node runs again for a held call beside it, and the result is a stored one."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "a.txt").write_text("KEY=1")
    (workspace / ".env").write_text("KEY=2")
    (workspace / "two\nlines.pem").write_text("KEY=3")
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=workspace,
        approvers={"olga": ApproverConfig(groups=("operators",), public_key=str(OLGA.public))},
        sandbox={"backends": ("bubblewrap",), "prewarmed": 0},
    )
    asked = [Asked("search", {"text": "KEY", "folder": "."}, "found")]
    if after == "run again":
        asked.append(Asked("pay", {"amount": 1}, "held"))
    tools = [*COPYING, pay]
    graph = agent(
        guard_node([search, pay]), [turn(*asked), DONE_MESSAGE], saver=InMemorySaver()
    )
    thread = {"configurable": {"thread_id": "thread-1"}}

    async with (
        open_broker(config, tools) as broker,
        open_session(broker, user="alice", run="thread-1", approval_mode="suspend"),
    ):
        state = await graph.ainvoke({"messages": [HumanMessage("search KEY")]}, thread)
        if after == "run again":
            (request,) = await broker.parts.approvals.listed(pending_only=True)
            await broker.parts.approvals.vote(vote_on(request, "approve"))
            state = await aresume(graph, thread)

    told = answers(state)["found"]
    assert told.status == "success"
    found, _, note = str(told.content).partition("\n\n")
    assert json.loads(found) == ["a.txt"]
    lines = note.splitlines()
    assert lines[0] == "Not all files went into the sandbox of this tool, or came back from it:"
    assert {line.partition(":")[0] for line in lines[1:]} == {"- .env", "- two\\nlines.pem"}
