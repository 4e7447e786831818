"""A rate holds: over time, for calls at the same time, and in the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from permissions.model import Completed, Denial
from permissions.replay.again import replay
from permissions.replay.recorded import recorded_decisions
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.testing import memory_broker
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from wardline import tool

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import CallResult

RATE = """package wardline.policies.rate

allow contains "rate.send" if input.resource.id == "post"

deny contains {
	"code": "rate.sends", "agent": "Wait a minute before you send more.",
	"operator": sprintf("%d sends in the last minute, 5 at most", [count(_recent)]),
	"nearest": null,
} if {
	input.resource.id == "post"
	count(_recent) >= 5
}

_recent := [past |
	some past in input.context.history
	past.tool == "post"
	past.time > input.context.time - (60 * 1000000)
]
"""
NOW = ToolCall("post", {})


@tool(effect="write", impact="low")
async def post() -> None:
    """Posts."""
    await anyio.sleep(0.01)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    (tmp_path / "mine" / "rate").mkdir(parents=True)
    (tmp_path / "mine" / "rate" / "rate.rego").write_text(RATE)
    return tmp_path / "mine"


def ran(results: list[CallResult]) -> int:
    denied = [each.code for each in results if isinstance(each, Denial)]
    assert set(denied) <= {"rate.sends"}
    return sum(isinstance(each, Completed) for each in results)


async def test_at_most_five_a_minute(overlay: Path) -> None:
    async with (
        memory_broker([post], overlay=overlay) as broker,
        open_session(broker, user="kim", run="r", prompt="post") as session,
    ):
        first = [await broker.call(session, NOW) for _ in range(7)]
        broker.clock.advance(59)
        early = [await broker.call(session, NOW)]
        broker.clock.advance(2)
        later: list[CallResult] = []

        async def call() -> None:
            later.append(await broker.call(session, NOW))

        async with anyio.create_task_group() as tasks:
            for _ in range(12):  # all at once: none of them has ended
                tasks.start_soon(call)

    assert (ran(first), ran(early), ran(later), len(later)) == (5, 0, 5, 12)


@pytest.mark.slow
async def test_the_record_decides_alike(overlay: Path, tmp_path: Path) -> None:
    """Also when the log has to say what was before: its decisions were made without a rate."""
    config = BrokerConfig(
        state=tmp_path / "state",
        workspace=tmp_path,
        pdp={"overlay": overlay, "hard_deadline_ms": 20_000},
    )
    plain = RATE[: RATE.index("deny contains")]
    (overlay / "rate" / "rate.rego").write_text(plain)
    async with (
        open_broker(config, [post]) as broker,
        open_session(broker, user="kim", run="r", prompt="post") as session,
    ):
        for _ in range(7):
            assert isinstance(await broker.call(session, NOW), Completed)
    layout = StateLayout(config.state)
    vault = VaultReader(layout.trace, layout.vault_key())
    (overlay / "rate" / "rate.rego").write_text(RATE)

    async with memory_broker([post], overlay=overlay) as broker:
        pdp = broker.parts.pdp
        rows = [
            row
            async for row in replay(
                recorded_decisions(read_entries(layout.trace), vault), under=lambda _: pdp
            )
        ]

    assert [row.after for row in rows] == ["allow"] * 5 + ["deny"] * 2
    async with (
        open_broker(config, [post]) as broker,
        open_session(broker, user="kim", run="r") as session,
    ):
        resumed = await broker.call(session, NOW)
    assert isinstance(resumed, Denial)
    assert resumed.code == "rate.sends"
