"""The signed log: when it is durable, what it does when it cannot be, how it goes on."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from logs import CONFIG, KEK, NAME, SIGNER, before, outcome, record_run, run_start, write_log

from permissions.errors import ConfigError, TraceWriteError
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.snapshot import SNAPSHOT_FILE
from permissions.trace.store import (
    SEGMENT_BYTES,
    Store,
    segment_path,
    segments,
)
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.trace.log import SignedLog
    from permissions.trace.report import Report

OPTIONS: dict[str, Any] = {"name": NAME, "signer": SIGNER, "kek": KEK, "config": CONFIG}


def verified(directory: Path) -> Report:
    return verify_trace(directory, key=SIGNER.public)


def types(directory: Path) -> list[str]:
    return [entry.type for entry in read_entries(directory)]


@pytest.mark.both_backends
async def test_many_callers_share_a_checkpoint(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log, anyio.create_task_group() as group:
        for number in range(64):
            group.start_soon(record_run, log, f"run-{number}", 3)

    report = verified(tmp_path)
    assert report.completeness.is_whole
    assert report.integrity.size == 3 + 64 * (2 + 3 * 4)
    assert report.integrity.checkpoints < report.integrity.size / 4


@pytest.mark.both_backends
async def test_written_waits_for_the_kernel_and_not_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sync, goes_on = os.fdatasync, threading.Event()

    def slow(descriptor: int) -> None:
        goes_on.wait()
        sync(descriptor)

    async with open_log(tmp_path, **OPTIONS) as log:
        before_it = log.durable
        # A disk as slow as the test says, where a real one hangs on the machine.
        monkeypatch.setattr(os, "fdatasync", slow)
        try:
            await log.append([run_start("r")], barrier="written")
            assert log.durable == before_it
            assert types(tmp_path)[-1] == "run.start"
            assert verified(tmp_path).integrity.verdict == "signed"
        finally:
            goes_on.set()
        await log.append(before("r", "c"), barrier="durable")
        assert log.durable == before_it + 4


@pytest.mark.both_backends
async def test_after_a_failed_sync_what_was_written_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is where it was said to be; whether it comes to the disk nobody knows."""

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    async with open_log(tmp_path, **OPTIONS) as log:
        await log.append([run_start("r"), *before("r", "first")], barrier="durable")
        # A disk that fails at this sync and no other; a real one is in the integration tests.
        monkeypatch.setattr(os, "fdatasync", broken)
        await log.append(before("r", "c"), barrier="written")
        for barrier in ("written", "durable"):
            with pytest.raises(TraceWriteError):
                await log.append([outcome("r", "c")], barrier=barrier)
        assert types(tmp_path)[-1] == "start"
        monkeypatch.undo()


@pytest.mark.both_backends
async def test_buffered_entries_become_durable_by_themselves(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log:
        receipt = await log.append([run_start("r")], barrier="buffered")
        with anyio.fail_after(40):
            while log.durable <= receipt.first:
                await anyio.lowlevel.checkpoint()

        assert types(tmp_path)[-1] == "run.start"


async def test_closing_commits_what_was_buffered(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log:
        await log.append(before("r", "c"), barrier="buffered")

    assert types(tmp_path) == ["log.open", "config", "intent", "decision", "start", "log.close"]
    assert verified(tmp_path).completeness.closed


async def test_a_closed_log_admits_nothing(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log:
        pass

    with pytest.raises(TraceWriteError, match="closed"):
        await log.append([run_start("r")], barrier="durable")


@pytest.mark.both_backends
async def test_a_cancelled_caller_leaves_its_entries_and_wakes_the_others(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log, anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(_append_cancelled, log, number)
        for number in range(30):
            group.start_soon(log_outcome, log, number)

    recorded = types(tmp_path)
    assert recorded.count("intent") == 30
    assert recorded.count("outcome") == 30


async def _append_cancelled(log: SignedLog, number: int) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(log_before, log, number)
            await anyio.lowlevel.checkpoint()
            scope.cancel()


async def log_before(log: SignedLog, number: int) -> None:
    await log.append(before("r", f"c{number}"), barrier="durable")


async def log_outcome(log: SignedLog, number: int) -> None:
    await log.append([outcome("r", f"d{number}")], barrier="durable")


async def test_callers_of_several_event_loops_share_one_log(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log:

        def elsewhere(backend: str, run: str) -> None:
            anyio.run(record_run, log, run, 10, backend=backend)

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, elsewhere, "asyncio", "one")
            group.start_soon(anyio.to_thread.run_sync, elsewhere, "trio", "two")
            group.start_soon(record_run, log, "three", 10)

    assert verified(tmp_path).completeness.is_whole


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_event_loops_that_come_and_go_leak_no_descriptor(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log:

        def elsewhere(number: int) -> None:
            anyio.run(record_run, log, f"run-{number}", 1)

        await anyio.to_thread.run_sync(elsewhere, 0)
        before_ = open_descriptors()
        for number in range(1, 20):
            await anyio.to_thread.run_sync(elsewhere, number)

        assert open_descriptors() <= before_ + 5


async def test_a_full_queue_makes_callers_wait_and_drops_nothing(tmp_path: Path):
    appended = []
    async with open_log(tmp_path, **OPTIONS) as log:
        awake = hold_the_disk(log)

        async def append(number: int) -> None:
            await _append_many(log, number)
            appended.append(number)

        async with anyio.create_task_group() as group:
            for number in range(80):
                group.start_soon(append, number)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            while_held = len(appended)
            awake.set()

    assert 0 < while_held < 80
    assert types(tmp_path).count("effect") == 80 * 500


def hold_the_disk(log: SignedLog) -> threading.Event:
    """Nothing reaches the disk before the event is set."""
    store = log._committer._store
    put, awake = store._put, threading.Event()

    def hang(data: bytes) -> None:
        awake.wait(10)
        put(data)

    store._put = hang  # type: ignore[method-assign]
    return awake


async def _append_many(log: SignedLog, number: int) -> None:
    entries = [TraceEntry("effect", "r", f"c{number}")] * 500
    await log.append(entries, barrier="buffered")


async def test_an_append_that_no_checkpoint_could_cover_is_refused(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log:
        with pytest.raises(TraceWriteError, match="at most"):
            await log.append([run_start("r")] * 5000, barrier="durable")


async def test_a_forked_child_cannot_write_its_parents_log(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS) as log:
        log._committer._owner += 1  # what a child sees: another process made the log

        with pytest.raises(TraceWriteError, match="forked"):
            await log.append([run_start("r")], barrier="durable")
        log._committer._owner -= 1


async def test_a_log_goes_on_in_the_next_segment(tmp_path: Path):
    """Three segments of a real log, one verification."""
    async with open_log(tmp_path, **OPTIONS) as log:
        log._committer._store._end = log._committer._store._filled = SEGMENT_BYTES
        await record_run(log, "run-a", 1)
        log._committer._store._end = log._committer._store._filled = SEGMENT_BYTES
        await record_run(log, "run-b", 1)
    first, second, third = segments(tmp_path)
    os.truncate(first, first.read_bytes().index(b"\0"))
    os.truncate(second, second.read_bytes().index(b"\0"))

    report = verified(tmp_path)

    assert report.completeness.is_whole
    assert second == segment_path(tmp_path, 2)
    assert third.stat().st_size > 0


async def test_a_log_keeps_the_origin_it_was_given(tmp_path: Path):
    options: dict[str, Any] = {"name": NAME, "signer": SIGNER, "kek": KEK, "config": CONFIG}
    for _ in range(2):
        async with open_log(tmp_path, origin="logs.example/one", **options) as log:
            assert log.origin == "logs.example/one"
    with pytest.raises(ConfigError, match=r"is logs\.example/one, and trace\.origin says"):
        async with open_log(tmp_path, origin="logs.example/two", **options):
            pass
    with pytest.raises(ConfigError, match="cannot name a log"):
        async with open_log(tmp_path / "new", origin="logs example", **options):
            pass


async def test_a_log_in_anothers_stead_has_a_name_of_its_own(tmp_path: Path):
    options: dict[str, Any] = {"name": NAME, "signer": SIGNER, "kek": KEK, "config": CONFIG}
    origin = "logs.example/one"
    async with open_log(tmp_path, origin=origin, follows={"origin": origin}, **options) as log:
        assert log.origin.startswith(f"{origin}/")

    async with open_log(tmp_path, origin=origin, **options) as again:
        assert again.origin == log.origin


@pytest.mark.parametrize("name", ["", "with space", "plus+plus", "line\nbreak", "x" * 300])
async def test_a_name_that_cannot_be_an_origin_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ConfigError):
        async with open_log(tmp_path, **{**OPTIONS, "name": name}):
            pass


async def test_a_directory_that_cannot_be_made_is_a_write_error(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(TraceWriteError, match="cannot be opened"):
        async with open_log(tmp_path / "file", **OPTIONS):
            pass


async def test_a_failed_sync_fails_every_waiting_caller(tmp_path: Path):
    """Nothing is tried again on the same descriptor."""
    async with open_log(tmp_path, **OPTIONS) as log:
        store, failures = log._committer._store, []
        segment, store._segment = store._segment, -1

        async def append(number: int) -> None:
            try:
                await log.append(before("r", f"c{number}"), barrier="durable")
            except TraceWriteError as err:
                failures.append(str(err))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(append, number)
        store._segment = segment

    assert len(failures) == 20
    assert all("admits nothing more" in failure for failure in failures)
    assert types(tmp_path) == ["log.open", "config"]


@pytest.mark.both_backends
async def test_a_disk_that_hangs_is_a_refusal_and_no_hang(tmp_path: Path):
    async with open_log(tmp_path, **OPTIONS, disk_seconds=2.0) as log:
        awake = hold_the_disk(log)
        with pytest.raises(TraceWriteError, match="did not take the record"):
            await log.append([run_start("r")], barrier="durable")
        awake.set()
        with anyio.fail_after(40):
            while types(tmp_path)[-1] != "run.start":
                await anyio.lowlevel.checkpoint()


def test_the_lock_is_given_back_when_opening_fails(tmp_path: Path):
    write_log(tmp_path)
    data = bytearray(segment_path(tmp_path, 0).read_bytes())
    data[100] ^= 1
    segment_path(tmp_path, 0).write_bytes(data)
    (tmp_path / SNAPSHOT_FILE).unlink()
    with pytest.raises(Exception, match="not continued"):
        write_log(tmp_path)

    Store(tmp_path, holder="next").close()


def cut(directory: Path) -> None:
    os.truncate(segment_path(directory, 0), 0)


def copied_back(directory: Path) -> None:
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    shutil.rmtree(directory)
    copy.rename(directory)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(shutil.rmtree, id="deleted"),
        pytest.param(lambda log: segment_path(log, 0).unlink(), id="segment-unlinked"),
        pytest.param(lambda log: (log / "lock").unlink(), id="lock-unlinked"),
        pytest.param(cut, id="cut"),
        pytest.param(lambda log: log.rename(log.with_name("moved")), id="moved"),
        pytest.param(copied_back, id="replaced"),
    ],
)
async def test_a_log_whose_files_are_gone_admits_nothing_more(
    tmp_path: Path, damage: Callable[[Path], object]
):
    """The open descriptors still take every write; nobody would ever find it."""
    directory = tmp_path / "trace"
    async with open_log(directory, **OPTIONS) as log:
        await log.append([run_start("r")], barrier="durable")
        kept = log.durable
        damage(directory)

        for _ in range(2):
            with pytest.raises(TraceWriteError, match="admits nothing more"):
                await log.append(before("r", "c"), barrier="durable")
        assert log.durable == kept


async def test_a_log_outlives_a_change_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    async with open_log(Path("trace"), **OPTIONS) as log:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        await log.append([run_start("r")], barrier="durable")

    assert verified(tmp_path / "trace").completeness.closed
