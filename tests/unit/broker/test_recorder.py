"""The one recorder: what is noted is recorded in order, shielded, within its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from trio.testing import MockClock

from permissions.broker.inspection import Inspection
from permissions.broker.recorder import Recorder
from permissions.errors import TraceWriteError
from permissions.run.found_values import FoundValues
from permissions.trace.entry import Receipt, TraceEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.vocabulary import Barrier


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time passes at once wherever nothing else is left to do."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Disk:
    """A trace that answers as told: at once, never, or with an error."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.fails = False
        self.asked = anyio.Event()
        self.goes_on = anyio.Event()
        self.goes_on.set()

    def seal_ahead(self, entries: Sequence[TraceEntry]) -> None:
        pass

    async def append(self, entries: Sequence[TraceEntry], *, barrier: Barrier) -> Receipt:  # noqa: ARG002 - of the port
        self.asked.set()
        await self.goes_on.wait()
        if self.fails:
            raise TraceWriteError("the disk is full")
        self.written += [entry.type for entry in entries]
        return Receipt(0, len(entries))


def entry(kind: str) -> TraceEntry:
    return TraceEntry(kind, "run-1", "call-1", {}, {})


async def test_what_is_noted_is_recorded_once_and_in_order() -> None:
    disk = Disk()
    record = Recorder(disk, Inspection(), FoundValues())
    record.note(entry("intent"))
    record.note(entry("decision"), entry("start"))

    await record.flush("durable")
    await record.flush("durable")

    assert disk.written == ["intent", "decision", "start"]


async def test_what_was_refused_comes_before_what_is_noted_later_and_no_start() -> None:
    """A call whose start was refused does not start, so that its record must not say so."""
    disk = Disk()
    record = Recorder(disk, Inspection(), FoundValues())
    record.note(entry("intent"), entry("start"))
    disk.fails = True
    with pytest.raises(TraceWriteError, match="full"):
        await record.flush("durable")
    disk.fails = False
    record.note(entry("denied"))

    await record.flush("durable")

    assert disk.written == ["intent", "denied"]


async def test_nobody_who_gives_up_tears_a_record_apart() -> None:
    disk = Disk()
    disk.goes_on = anyio.Event()
    record = Recorder(disk, Inspection(), FoundValues())
    record.note(entry("outcome"))
    async with anyio.create_task_group() as group:
        group.start_soon(record.flush, "durable")
        await disk.asked.wait()
        group.cancel_scope.cancel()
        disk.goes_on.set()

    assert disk.written == ["outcome"]


async def test_a_trace_that_hangs_is_a_trace_that_failed() -> None:
    disk = Disk()
    disk.goes_on = anyio.Event()
    record = Recorder(disk, Inspection(), FoundValues())
    record.note(entry("outcome"))

    with pytest.raises(TraceWriteError, match="no answer"):
        await record.flush("durable")
