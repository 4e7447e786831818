"""The index leads to entries, is made anew when in doubt, and is never believed by itself."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from logs import ARGUMENTS, KEK, write_log

from permissions.errors import TraceIntegrityError
from permissions.trace.call_filter import CallFilter
from permissions.trace.history import history_of
from permissions.trace.index import IndexDamagedError, TraceIndex
from permissions.trace.reader import read_entries
from permissions.trace.store import segment_path

if TYPE_CHECKING:
    from pathlib import Path


def expected(directory: Path, run: str) -> list[bytes]:
    return [each.leaf for each in read_entries(directory) if each.run == run]


def indexed(index: TraceIndex, run: str) -> list[bytes]:
    return [each.leaf for each in index.run(run)]


@pytest.mark.parametrize("file", ["index", None])
def test_it_finds_what_a_scan_finds(tmp_path: Path, file: str | None):
    log = tmp_path / "log"
    index = TraceIndex(log, None if file is None else tmp_path / file)
    write_log(log, runs=["run-a", "run-b"])
    assert indexed(index, "run-b") == expected(log, "run-b")
    write_log(log, runs=["run-c", "run-b2"], seed="later")

    for run in ("run-a", "run-b", "run-c", "run-b2", "run-z"):
        assert indexed(index, run) == expected(log, run)
    [call] = {each.call for each in index.call("run-c-1")}
    assert call == "run-c-1"
    assert index.entry(0) is not None
    assert index.entry(9999) is None


def test_what_is_new_is_all_that_is_read(tmp_path: Path):
    """Bytes that it has behind it are not looked at again."""
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log)
    before = indexed(TraceIndex(log, file), "run-a")
    with segment_path(log, 0).open("r+b") as opened:
        opened.write(b"x")

    assert indexed(TraceIndex(log, file), "run-a") == before != []


@pytest.mark.parametrize("way", ["another log", "cut", "garbage", "another version"])
def test_an_index_of_something_else_is_made_anew(tmp_path: Path, way: str):
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log, runs=["run-a", "run-b"])
    list(TraceIndex(log, file).run("run-a"))
    segment = segment_path(log, 0)
    match way:
        case "another log":
            write_log(tmp_path / "other", runs=["run-b"], seed="other")
            segment.write_bytes(segment_path(tmp_path / "other", 0).read_bytes())
        case "cut":
            lines = segment.read_bytes().splitlines(keepends=True)
            segment.write_bytes(b"".join(lines[:-8]))
        case "garbage":
            file.write_bytes(os.urandom(4096))
        case "another version":
            with sqlite3.connect(file) as database:
                database.execute("PRAGMA user_version = 99")

    assert indexed(TraceIndex(log, file), "run-b") == expected(log, "run-b")


def test_an_index_that_leads_astray_is_noticed(tmp_path: Path):
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log, runs=["run-a", "run-b"])
    list(TraceIndex(log, file).run("run-a"))
    with sqlite3.connect(file) as database:
        database.execute(
            "UPDATE entry SET (segment, start, size) ="
            " (SELECT segment, start, size FROM entry WHERE number = 0) WHERE run = 'run-b'"
        )

    with pytest.raises(TraceIntegrityError, match="leads to entry 0"):
        indexed(TraceIndex(log, file), "run-b")


def test_a_run_is_read_back_by_it_with_its_contents_opened(tmp_path: Path):
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"])

    found = list(history_of("run-b", directory=log, kek=KEK, index=tmp_path / "index"))

    assert [each.type for each in found][:2] == ["run.start", "intent"]
    assert [each.contents["result"] for each in found if each.type == "outcome"] == [
        b"done"
    ] * 2
    assert {each.run for each in found} == {"run-b"}


@pytest.mark.parametrize("order", ["oldest first", "newest first"])
def test_it_gives_every_call_whole_also_in_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
):
    newest_first = order == "newest first"
    # Two for a thousand, so that a small log is read in several parts.
    monkeypatch.setattr("permissions.trace.index._CALLS_AT_ONCE", 2)
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"], calls=3)
    scanned: dict[str, list[int]] = {}
    for each in read_entries(log):
        if each.call is not None:
            scanned.setdefault(each.call, []).append(each.index)

    found = TraceIndex(log, tmp_path / "index").calls(CallFilter(), newest_first=newest_first)

    expected = list(scanned.items())[:: -1 if newest_first else 1]
    assert [(str(call[0].call), [each.index for each in call]) for call in found] == expected


def test_calls_are_found_by_what_bodies_say(tmp_path: Path):
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"])
    index = TraceIndex(log, tmp_path / "index")

    def found(**wanted: Any) -> int:
        return len(list(index.calls(CallFilter(**wanted))))

    assert found(run="run-a") == found(run="run-b") == 2
    assert found(tool="read") == found(subject="a") == found(outcome="ok") == 4
    assert found(rule="read", run="run-a") == 2
    assert found(tool="write") == found(outcome="open") == found(approver="a") == 0
    times = sorted(call[0].time for call in index.calls(CallFilter()))
    assert found(since=times[1], until=times[3]) == 2
    config = index.head("config", "", 10**6)
    assert config is not None
    assert config.type == "config"
    assert index.head("run.start", "run-b", 3) is None


@pytest.mark.parametrize("file", ["no/such/folder", None])
def test_without_a_file_of_its_own_it_is_made_elsewhere_and_removed(
    tmp_path: Path, file: str | None
):
    log = tmp_path / "log"
    write_log(log)

    index = TraceIndex(log, None if file is None else tmp_path / file)

    assert indexed(index, "run-a") == expected(log, "run-a") != []
    made = index.file.parent
    assert made.is_dir()
    assert not made.is_relative_to(tmp_path)
    del index
    assert not made.exists()


def test_no_sealed_value_comes_into_it(tmp_path: Path):
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log)
    indexed(TraceIndex(log, file), "run-a")

    with sqlite3.connect(file) as database:
        dump = "\n".join(database.iterdump())
    assert "run-a" in dump
    assert ARGUMENTS.decode() not in dump


@pytest.mark.parametrize(
    "step", [7, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_whatever_a_disk_makes_of_it_no_run_is_short_of_an_entry(
    tmp_path: Path, step: int
) -> None:
    """A broker goes on with a run by it: what is missing would be forgotten, labels and all.

    It is made anew; at most one asker is told so.
    """
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log, runs=["run-a", "run-b"])
    whole = expected(log, "run-b")
    list(TraceIndex(log, file).run("run-a"))
    data = file.read_bytes()
    sectors = [at for at in range(0, len(data), 512) if data[at : at + 512].strip(b"\0")]
    states = [b"", data[:-513], bytes(len(data)), b"x" * 600][:: min(step, 3)]
    states += [data[:at] + bytes(512) + data[at + 512 :] for at in sectors[::step]]

    refused = 0
    for state in states:
        file.write_bytes(state)
        index = TraceIndex(log, file)
        try:
            found = indexed(index, "run-b")
        except IndexDamagedError:
            refused += 1
            found = indexed(index, "run-b")
        assert found == whole
    assert refused < len(states)


def test_a_page_that_lost_a_run_hides_nothing(tmp_path: Path) -> None:
    """As one with zeros in it does: it is read as one without rows."""
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log, runs=["run-a", "run-b"])
    index = TraceIndex(log, file)
    list(index.run("run-a"))
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM entry WHERE run = 'run-b'")

    found = list(history_of("run-b", directory=log, kek=KEK, index=file))
    assert len(found) == len(expected(log, "run-b"))


FORGED = [
    "UPDATE position SET size = 1 << 62",
    "UPDATE position SET start = -5",
    "UPDATE entry SET size = 1 << 62",
    "UPDATE entry SET size = -3",
    "UPDATE entry SET start = start + 1",
    "UPDATE entry SET start = 1 << 62",
    "UPDATE entry SET start = (SELECT max(start) FROM entry)",
    "UPDATE entry SET segment = 7",
    "UPDATE call SET run = 'another'",
    "UPDATE call SET number = number + 1",
]
"""What somebody may have written into an index: rows that lead nowhere, or elsewhere."""


@pytest.mark.parametrize("forged", FORGED)
def test_rows_that_lead_elsewhere_are_told_and_made_anew(tmp_path: Path, forged: str) -> None:
    """Never a traceback, never another entry in the stead of the one that was asked for."""
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log)
    whole = calls_of(TraceIndex(log, tmp_path / "other"))
    list(TraceIndex(log, file).run("run-a"))
    with sqlite3.connect(file) as database:
        database.execute(forged)

    found = None
    for _ in "ab":
        with suppress(IndexDamagedError):
            found = calls_of(TraceIndex(log, file))

    assert found == whole


def calls_of(index: TraceIndex) -> list[list[int]]:
    return [[each.index for each in call] for call in index.calls(CallFilter())]
