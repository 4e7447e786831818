"""`wardline plan learn`: from the record of a real run to a plan that is verified and fits it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import pytest
from typer.testing import CliRunner

from permissions.cli.plan import app
from permissions.model import Completed
from permissions.plan.model import parse_plan
from permissions.plan.verifier import verify_plan
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from permissions.tools.decorator import tool
from permissions.tools.registry import ToolRegistry
from permissions.tools.targets import FreeText, PathArg

if TYPE_CHECKING:
    from pathlib import Path


@tool(effect="read", impact="low", output="trusted")
async def look() -> str:
    return "a.txt"


@tool(effect="write", impact="low")
async def note(path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]) -> str:
    return "written"


@pytest.mark.slow
async def test_a_plan_learned_from_a_run_is_one_that_the_run_fits(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    state = tmp_path / "state"
    config = BrokerConfig.load(
        state=state, workspace=tmp_path / "work", sandbox={"backends": ()}
    )
    async with open_broker(config, [look, note]) as broker:
        for run in ("one", "two"):
            async with open_session(
                broker, user="alice", agent="bot", run=run, prompt="b.txt"
            ) as s:
                await broker.call(s, ToolCall("look", {}))
                wrote = await broker.call(s, ToolCall("note", {"path": "b.txt", "text": run}))
                assert isinstance(wrote, Completed)

    said = CliRunner().invoke(
        app, ["learn", "one", "two", "--goal", "notes", "--dir", str(state)]
    )

    assert said.exit_code == 0, said.output
    plan = parse_plan(said.stdout)
    tools = {each.name: each for each in ToolRegistry([look, note])}
    assert verify_plan(plan, tools, now=plan.expires_at - 1).accepted
    (step,) = json.loads(said.stdout)["steps"]
    assert step["arguments"]["path"] == {"literal": "b.txt"}
    assert step["arguments"]["text"]["kind"] == "free_text"
    assert plan.read_scope == ("look",)
    assert (plan.subject, plan.on_behalf_of) == ("agent:bot", "user:alice")
