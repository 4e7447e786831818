"""A call that never ended, or that failed: run again only where the tool says it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faults import findings

from permissions.execution.journal import JournalKey
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.signing.canonical import digest
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import ToolFailedError, tool

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


@pytest.mark.slow
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
        tool_digest = next(
            t for t in (look, take) if t.__name__ == name
        ).guard.definition.digest
        await broker.parts.journal.begin(JournalKey("r", "key", tool_digest, digest(b"{}")))

        again = await broker.call(session, ToolCall(name, {}, key="key"))

    if runs:
        assert isinstance(again, Completed)
        assert again.value == "seen"
    else:
        assert isinstance(again, Denial)
        assert again.kind == "in_doubt"


FAILING: list[str] = []


@tool(effect="read", impact="low", idempotent=True)
async def fetch(page: str) -> str:
    """Fails the first time, as servers do."""
    FAILING.append(page)
    if len(FAILING) == 1:
        raise ConnectionError("503 try again")
    return page


@tool(effect="send", impact="low")
async def post(page: str) -> str:
    """Fails, and nobody knows after how much of it."""
    FAILING.append(page)
    raise ConnectionError("broken pipe")


async def test_a_failed_idempotent_call_runs_again_and_then_keeps_its_result() -> None:
    FAILING.clear()
    call = ToolCall("fetch", {"page": "x"}, key="1")
    async with (
        memory_broker([fetch], decide=lambda _: permitted()) as broker,
        open_session(broker, user="alice") as session,
    ):
        with pytest.raises(ConnectionError):
            await broker.call(session, call)
        second = await broker.call(session, call)
        third = await broker.call(session, call)

    assert isinstance(second, Completed)
    assert isinstance(third, Completed)
    assert (second.value, second.replayed) == ("x", False)
    assert (third.value, third.replayed) == ("x", True)
    assert FAILING == ["x", "x"]
    assert findings(broker.trace.entries) == []


async def test_any_other_failed_call_says_how_it_ended_and_why_it_is_not_run_again() -> None:
    FAILING.clear()
    call = ToolCall("post", {"page": "x"}, key="1")
    async with (
        memory_broker([post], decide=lambda _: permitted()) as broker,
        open_session(broker, user="alice") as session,
    ):
        with pytest.raises(ConnectionError):
            await broker.call(session, call)
        with pytest.raises(ToolFailedError, match=r"broken pipe.*idempotent=True"):
            await broker.call(session, call)

    assert FAILING == ["x"]
