"""Opening and closing sessions."""

from __future__ import annotations

import asyncio  # noqa: TID251 - a task in a context of its own
from contextvars import Context
from typing import TYPE_CHECKING

from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.testing import memory_broker, permitted
from permissions.trace.reader import read_entries
from wardline import Broker, tool

if TYPE_CHECKING:
    from pathlib import Path


@tool(effect="read", impact="low")
def look(name: str) -> str:
    """Reads."""
    return name


async def test_a_session_left_from_another_context_is_ended_all_the_same() -> None:
    """As when a generator that holds it is closed by another task, or by the collector."""
    async with memory_broker([look], decide=lambda _: permitted()) as broker:
        session = open_session(broker, user="alice")
        state = await asyncio.create_task(session.__aenter__(), context=Context())
        await session.__aexit__(None, None, None)

    assert state.closed
    assert [entry.type for entry in broker.trace.entries] == ["run.start", "run.end"]


def test_a_sync_session_left_from_another_context_is_ended_all_the_same(tmp_path: Path) -> None:
    config = BrokerConfig.load(
        state=tmp_path / "state", workspace=tmp_path, sandbox={"backends": ()}
    )
    with Broker([look], config=config) as broker:
        session = broker.session(user="alice")
        Context().run(session.__enter__)
        session.__exit__(None, None, None)

    kinds = [entry.type for entry in read_entries(tmp_path / "state" / "trace")]
    assert kinds.count("run.end") == 1
