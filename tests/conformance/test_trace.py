"""Every `TraceLog` behaves alike: the signed one on disk and its twin in memory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import pytest
from logs import CONFIG, KEK, NAME, SIGNER, before, outcome, run_start

from permissions.errors import TraceWriteError
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.memory import MemoryTrace
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from permissions.trace.entry import TraceLog
    from permissions.vocabulary import Barrier

pytestmark = pytest.mark.both_backends


class World(Protocol):
    """A log, and ways to look at it and to break it."""

    log: TraceLog

    def recorded(self) -> list[tuple[str, str | None]]:
        """Type and call of what a reader finds now, without the log's own entries."""
        ...

    def fail(self) -> None:
        """From now on, nothing can be made durable."""
        ...


@dataclass
class SignedWorld:
    log: Any
    directory: Path
    store: Any

    def recorded(self) -> list[tuple[str, str | None]]:
        found = read_entries(self.directory)
        return [(one.type, one.call) for one in found if one.run is not None]

    def fail(self) -> None:
        self.store.close()  # every later write meets a bad descriptor, as after an EIO


@dataclass
class MemoryWorld:
    log: MemoryTrace

    def recorded(self) -> list[tuple[str, str | None]]:
        return [(one.type, one.call) for one in self.log.entries]

    def fail(self) -> None:
        self.log.fail("told to")


@asynccontextmanager
async def signed(directory: Path) -> AsyncIterator[World]:
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        yield SignedWorld(log, directory, log._committer._store)


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[World]:
    yield MemoryWorld(MemoryTrace())


Opened = AbstractAsyncContextManager[World]


@pytest.fixture(params=[signed, memory], ids=lambda opened: opened.__name__)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Opened]:
    return lambda: request.param(tmp_path)


async def test_entries_keep_their_order(world: Callable[[], Opened]):
    async with world() as here:
        await here.log.append([run_start("r")], barrier="durable")
        await here.log.append(before("r", "c"), barrier="durable")
        await here.log.append([outcome("r", "c")], barrier="durable")

        assert here.recorded() == [
            ("run.start", None),
            ("intent", "c"),
            ("decision", "c"),
            ("start", "c"),
            ("outcome", "c"),
        ]


async def test_receipt_says_where_the_entries_stand(world: Callable[[], Opened]):
    async with world() as here:
        first = await here.log.append([run_start("r")], barrier="durable")
        second = await here.log.append(before("r", "c"), barrier="durable")
        third = await here.log.append([outcome("r", "c")], barrier="buffered")

    assert (first.count, second.count, third.count) == (1, 3, 1)
    assert second.first == first.first + 1
    assert third.first == second.first + 3


async def test_entries_of_one_append_stay_together(world: Callable[[], Opened]):
    """Also when many append at once."""
    async with world() as here:
        async with anyio.create_task_group() as group:
            for number in range(40):
                entries = before("r", f"c{number}")
                barrier = ("buffered", "written", "durable")[number % 3]

                async def append(entries: Any = entries, barrier: Any = barrier) -> None:
                    await here.log.append(entries, barrier=barrier)

                group.start_soon(append)
        await here.log.append([run_start("last")], barrier="durable")
        found = here.recorded()[:-1]

    assert len(found) == 120
    for at in range(0, 120, 3):
        assert [kind for kind, _ in found[at : at + 3]] == ["intent", "decision", "start"]
        assert len({call for _, call in found[at : at + 3]}) == 1


@pytest.mark.parametrize("barrier", ["written", "durable"])
async def test_what_is_waited_for_is_readable_at_once(
    world: Callable[[], Opened], barrier: Barrier
):
    async with world() as here:
        for number in range(5):
            await here.log.append([outcome("r", f"c{number}")], barrier=barrier)
            assert here.recorded()[-1] == ("outcome", f"c{number}")


async def test_after_a_failure_nothing_is_admitted(world: Callable[[], Opened]):
    async with world() as here:
        await here.log.append([run_start("r")], barrier="durable")
        here.fail()

        for barrier in ("durable", "buffered", "written", "durable"):
            with pytest.raises(TraceWriteError):
                await here.log.append(before("r", "c"), barrier="durable")
            with pytest.raises(TraceWriteError):
                await here.log.append(before("r", "c"), barrier=barrier)  # type: ignore[arg-type]

        assert here.recorded() == [("run.start", None)]


async def test_what_is_sealed_ahead_is_recorded_by_its_append_alone(
    world: Callable[[], Opened],
):
    async with world() as here:
        await here.log.append(before("r", "first"), barrier="durable")
        coming = before("r", "c")
        here.log.seal_ahead(coming)
        await here.log.append([outcome("r", "first")], barrier="durable")
        without = len(here.recorded())
        await here.log.append(coming, barrier="durable")

        assert without == 4
        assert here.recorded()[4:] == [("intent", "c"), ("decision", "c"), ("start", "c")]


async def test_a_log_that_admits_nothing_seals_nothing_and_the_append_says_it(
    world: Callable[[], Opened],
):
    async with world() as here:
        await here.log.append(before("r", "first"), barrier="durable")
        here.fail()
        with pytest.raises(TraceWriteError):
            await here.log.append([outcome("r", "first")], barrier="durable")
        coming = before("r", "c")

        here.log.seal_ahead(coming)

        assert not any(entry.ahead for entry in coming)
        with pytest.raises(TraceWriteError):
            await here.log.append(coming, barrier="durable")


@dataclass(frozen=True)
class Refused:
    id: str
    entry: TraceEntry


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value, "b": 1}
    return value


REFUSED = [
    Refused("float", TraceEntry("intent", "r", "c", {"a": 1.5})),
    Refused("nested float", TraceEntry("intent", "r", "c", {"a": [{"b": [0.1]}]})),
    Refused("not a number", TraceEntry("intent", "r", "c", {"a": float("nan")})),
    Refused("integer too large", TraceEntry("intent", "r", "c", {"a": 2**53})),
    Refused("integer too small", TraceEntry("intent", "r", "c", {"a": -(2**53)})),
    Refused("integer beyond 64 bits", TraceEntry("intent", "r", "c", {"a": 2**70})),
    Refused("name not ASCII", TraceEntry("intent", "r", "c", {"é": 1})),
    Refused("name not text", TraceEntry("intent", "r", "c", {1: 1})),  # type: ignore[dict-item]
    Refused("lone surrogate", TraceEntry("intent", "r", "c", {"a": "\ud800"})),
    Refused("not JSON", TraceEntry("intent", "r", "c", {"a": object()})),
    Refused("bytes", TraceEntry("intent", "r", "c", {"a": b"x"})),
    Refused("too deep", TraceEntry("intent", "r", "c", deep(33))),
    Refused("too long", TraceEntry("intent", "r", "c", {"a": "x" * 62_000})),
    Refused("unknown type", TraceEntry("guess", "r", "c")),  # type: ignore[arg-type]
    Refused("content without a name", TraceEntry("intent", "r", "c", {}, {"": b""})),
    Refused("content of odd name", TraceEntry("intent", "r", "c", {}, {'a"b': b""})),
    Refused("content too large", TraceEntry("intent", "r", "c", {}, {"a": bytes(2**24 + 1)})),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
async def test_what_lies_outside_the_format_is_refused(
    world: Callable[[], Opened], case: Refused
):
    """All of the append, and nothing after it suffers."""
    async with world() as here:
        here.log.seal_ahead([case.entry])
        with pytest.raises(TraceWriteError, match="cannot be recorded"):
            await here.log.append([run_start("r"), case.entry], barrier="durable")
        await here.log.append([outcome("r", "c")], barrier="durable")

        assert here.recorded() == [("outcome", "c")]


async def test_an_empty_append_is_refused(world: Callable[[], Opened]):
    async with world() as here:
        with pytest.raises(TraceWriteError):
            await here.log.append([], barrier="durable")
