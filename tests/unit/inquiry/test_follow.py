"""Entries are shown as they become durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from logs import write_log

from permissions.cli.trace_follow import followed
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from pathlib import Path


class NothingMoreError(Exception):
    """Ends a test."""


def test_what_is_recorded_from_now_on_and_nothing_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_log(log, runs=["run-a"])
    before = [each.index for each in read_entries(log)]
    rounds = ["run-c", "", "run-b", ""]

    def pause() -> None:
        if not rounds:
            raise NothingMoreError
        if run := rounds.pop():
            write_log(log, runs=[run], seed=run)

    seen: list[int] = []

    def look() -> None:
        for entry in followed(log, pause=pause):
            seen.append(entry.index)  # noqa: PERF401 - it ends by an error, and keeps what it saw

    with pytest.raises(NothingMoreError):
        look()

    assert seen == [each.index for each in read_entries(log)][len(before) :]
    assert seen[0] == len(before)
