"""What a recorded call takes on disk, under the shipped policies: a bound of the format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest

from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig, TraceConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from permissions.trace.store import segments
from wardline import Completed, PathArg, tool

CALLS = 60


@tool(effect="read", impact="low", output="trusted")
async def read_file(path: Annotated[str, PathArg("read")]) -> str:
    """Does nothing."""
    return f"done {path}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evidence", "most"),
    # Alone, each of a durable call's two commits has a checkpoint of its own.
    [("buffered", 2600), ("durable", 3000)],
)
async def test_a_call_takes_few_kilobytes(
    tmp_path: Path, evidence: Literal["buffered", "durable"], most: int
) -> None:
    workspace = Path("/workspace")  # as in the bench; a test's own folder has a longer name
    config = BrokerConfig(
        state=tmp_path / "state", workspace=workspace, trace=TraceConfig(evidence=evidence)
    )
    async with open_broker(config, [read_file]) as broker, open_session(broker) as session:

        async def call(number: int) -> None:
            asked = ToolCall("read_file", {"path": f"/workspace/{number}.txt"})
            assert isinstance(await broker.call(session, asked), Completed)

        for number in range(5):
            await call(number)
        before = written(tmp_path)
        for number in range(CALLS):
            await call(number)
    per_call = (written(tmp_path) - before) / CALLS

    assert 1000 < per_call < most, per_call


def written(folder: Path) -> int:
    return sum(
        len(path.read_bytes().rstrip(b"\0")) for path in segments(folder / "state" / "trace")
    )
