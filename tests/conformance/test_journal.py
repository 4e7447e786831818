"""What every execution journal must do, in memory or on disk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from people import START, STATE_KEYS, Clock

from permissions.database import StateDatabase
from permissions.errors import ExecutionError
from permissions.execution.journal import (
    SCHEMA,
    Finished,
    Fresh,
    InDoubt,
    InMemoryJournal,
    JournalKey,
    SqliteJournal,
)
from permissions.model import Digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.execution.journal import ExecutionJournal

pytestmark = pytest.mark.both_backends

KEY = JournalKey("run-1", "call-1", Digest("sha256:" + "c" * 64), Digest("sha256:" + "a" * 64))


@pytest.fixture(params=["memory", "sqlite"])
async def journal(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[ExecutionJournal]:
    if request.param == "memory":
        yield InMemoryJournal(clock=Clock())
        return
    async with StateDatabase(tmp_path / "state.sqlite", [SCHEMA]) as database:
        yield SqliteJournal(database, STATE_KEYS, clock=Clock())


async def test_a_new_call_is_fresh_and_unknown_before(journal: ExecutionJournal) -> None:
    assert await journal.find(KEY) is None
    assert await journal.begin(KEY) == Fresh()


async def test_a_call_begun_and_not_finished_is_in_doubt(journal: ExecutionJournal) -> None:
    await journal.begin(KEY)

    assert await journal.find(KEY) == InDoubt(START)
    assert await journal.begin(KEY) == InDoubt(START)


async def test_a_finished_call_is_answered_with_its_bytes(journal: ExecutionJournal) -> None:
    await journal.begin(KEY)
    await journal.finish(KEY, result=b"\x00\xff{}", status="completed")

    assert await journal.find(KEY) == Finished(b"\x00\xff{}", "completed")
    assert await journal.begin(KEY) == Finished(b"\x00\xff{}", "completed")


async def test_an_empty_result_is_a_result(journal: ExecutionJournal) -> None:
    await journal.begin(KEY)
    await journal.finish(KEY, result=b"", status="failed")

    assert await journal.begin(KEY) == Finished(b"", "failed")


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, run="run-2"),
        replace(KEY, call="call-2"),
        replace(KEY, tool_digest=Digest("sha256:" + "b" * 64)),
        replace(KEY, args_digest=Digest("sha256:" + "b" * 64)),
    ],
    ids=["run", "call", "tool", "arguments"],
)
async def test_each_part_of_the_key_makes_another_call(
    journal: ExecutionJournal, other: JournalKey
) -> None:
    await journal.begin(KEY)

    assert await journal.begin(other) == Fresh()


async def test_an_end_without_a_beginning_is_refused(journal: ExecutionJournal) -> None:
    with pytest.raises(ExecutionError, match="not begun"):
        await journal.finish(KEY, result=b"", status="completed")
    assert await journal.find(KEY) is None


async def test_the_first_end_stays(journal: ExecutionJournal) -> None:
    await journal.begin(KEY)
    await journal.finish(KEY, result=b"1", status="completed")

    with pytest.raises(ExecutionError, match="recorded already"):
        await journal.finish(KEY, result=b"2", status="completed")
    assert await journal.find(KEY) == Finished(b"1", "completed")


async def test_one_of_many_racers_is_fresh(journal: ExecutionJournal) -> None:
    got: list[object] = []

    async def race() -> None:
        got.append(await journal.begin(KEY))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(race)

    assert sorted(type(each).__name__ for each in got) == ["Fresh"] + ["InDoubt"] * 49
