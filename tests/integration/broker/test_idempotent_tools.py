"""A call that was begun and never ended: run again only where the tool says it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from permissions.execution.journal import JournalKey
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.signing.canonical import digest
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from pathlib import Path


@tool(effect="read", impact="low", idempotent=True)
async def look() -> str:
    """May be run twice."""
    return "seen"


@tool(effect="read", impact="low")
async def take() -> str:
    """May not."""
    return "taken"


@pytest.mark.parametrize(("name", "runs"), [("look", True), ("take", False)])
async def test_only_an_idempotent_tool_is_run_again(
    name: str, *, runs: bool, tmp_path: Path
) -> None:
    config = BrokerConfig.load(
        state=tmp_path / "state", workspace=tmp_path, sandbox={"backends": ()}
    )
    async with (
        open_broker(config, [look, take]) as broker,
        open_session(broker, user="alice", run="r") as session,
    ):
        await broker.parts.journal.begin(JournalKey("r", "key", digest(b"{}")))

        again = await broker.call(session, ToolCall(name, {}, key="key"))

    if runs:
        assert isinstance(again, Completed)
        assert again.value == "seen"
    else:
        assert isinstance(again, Denial)
        assert again.kind == "in_doubt"
