"""Opening and closing sessions."""

from __future__ import annotations

import asyncio  # noqa: TID251 - a task in a context of its own
from contextvars import Context
from typing import TYPE_CHECKING, cast

import pytest

from permissions.errors import NoSessionError
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.testing import memory_broker, permitted
from permissions.tools.context import CURRENT_SESSION
from permissions.trace.reader import read_entries
from wardline import Broker, open_broker, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.sessions.handle import CurrentSession


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


async def test_sessions_left_in_another_order_leave_the_right_one_current() -> None:
    """Two generators that hold one each may end in any order."""
    async with (
        memory_broker([look], decide=lambda _: permitted()) as broker,
        open_session(broker, user="alice") as outer,
    ):
        first, second = open_session(broker, user="bob"), open_session(broker, user="carol")
        await first.__aenter__()
        of_second = await second.__aenter__()
        await first.__aexit__(None, None, None)
        assert _current() == of_second.run
        await second.__aexit__(None, None, None)
        assert _current() == outer.run
    assert _current() is None


def test_generators_that_hold_sync_sessions_may_end_in_any_order(tmp_path: Path) -> None:
    config = BrokerConfig.load(
        state=tmp_path / "state", workspace=tmp_path, sandbox={"backends": ()}
    )
    with Broker([look], config=config) as broker:

        def held(user: str) -> Iterator[str]:
            with broker.session(user=user) as session:
                yield session.run

        with broker.session(user="alice") as outer:
            first, second = held("bob"), held("carol")
            next(first)
            of_second = next(second)
            del first
            assert _current() == of_second
            del second
            assert _current() == outer.run
        assert _current() is None


async def test_a_session_that_an_async_generator_still_holds_ends_with_its_broker(
    tmp_path: Path,
) -> None:
    """Its run was on record as one that never ended, and leaving it later raised."""
    config = BrokerConfig.load(
        state=tmp_path / "state", workspace=tmp_path, sandbox={"backends": ()}
    )

    async def held(broker: PermissionBroker) -> AsyncIterator[str]:
        async with open_session(broker, user="bob") as session:
            yield session.run

    async with open_broker(config, [look]) as broker:
        holder = held(broker)
        await anext(holder)
    with pytest.raises(StopAsyncIteration):
        await anext(holder)

    entries = list(read_entries(tmp_path / "state" / "trace"))
    [end] = [entry for entry in entries if entry.type == "run.end"]
    assert end.body["status"] == "failed"


def _current() -> str | None:
    handle = cast("CurrentSession | None", CURRENT_SESSION.get())
    return None if handle is None else handle.session.run


@pytest.mark.timeout(60)
def test_a_session_that_a_generator_still_holds_ends_with_its_broker(tmp_path: Path) -> None:
    """Closing the broker waited for it without end."""
    config = BrokerConfig.load(
        state=tmp_path / "state", workspace=tmp_path, sandbox={"backends": ()}
    )

    def held(broker: Broker) -> Generator[str]:
        with broker.session(user="bob") as session:
            yield session.run

    with Broker([look], config=config) as broker:
        holder = held(broker)
        next(holder)
    assert _current() is None
    kinds = [entry.type for entry in read_entries(tmp_path / "state" / "trace")]
    assert kinds.count("run.end") == 1
    with pytest.raises(NoSessionError):
        look("a")
    holder.close()
