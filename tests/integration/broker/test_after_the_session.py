"""What a task asks for that outlives its session, and what a trace that failed says of itself."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from permissions.errors import TraceWriteError
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.tools.call import ToolCall
from permissions.trace.verify import verify_trace
from wardline import Denial, tool

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker

RAN: list[str] = []


@tool(effect="read", impact="low")
async def note(text: str) -> str:
    """Takes a note."""
    RAN.append(text)
    return text


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    RAN.clear()
    return BrokerConfig(state=tmp_path / "state", workspace=tmp_path)


async def test_a_call_after_the_end_is_a_denial_and_no_open_run(config: BrokerConfig) -> None:
    async with open_broker(config, [note]) as broker:
        async with open_session(broker, user="alice", prompt="note it") as session:
            await broker.call(session, ToolCall("note", {"text": "it"}))
        late = await broker.call(session, ToolCall("note", {"text": "it"}))

    assert isinstance(late, Denial)
    assert late.code == "session.closed"
    found = verify_trace(StateLayout(config.state).trace).completeness
    assert RAN == ["it"]
    assert found.is_whole
    assert not found.findings


async def test_a_trace_that_failed_is_said_once(
    config: BrokerConfig, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask_five_times(broker: PermissionBroker) -> None:
        async with open_session(broker, user="alice", prompt="note it") as session:
            shutil.rmtree(StateLayout(config.state).trace)
            for _ in range(5):
                refused = await broker.call(session, ToolCall("note", {"text": "it"}))
                assert isinstance(refused, Denial)

    async with open_broker(config, [note]) as broker:
        with pytest.raises(TraceWriteError):  # the end of the run has no record either
            await ask_five_times(broker)

    assert RAN == []
    said = [each.message for each in caplog.records if "not_recorded" in each.message]
    assert len(said) == 1
