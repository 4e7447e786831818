"""Keys that are destroyed, the entries that say so, and what a verifier finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
import second_verifier
from logs import CONFIG, KEK, NAME, SIGNER, write_log

from permissions.errors import ConfigError
from permissions.setup.erasure import RecordedRun, chosen_runs, with_sent
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.vault import KEYS_FILE, VaultReader, destroy_keys, key_ids
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path


def say(directory: Path, kind: Any, body: dict[str, Any]) -> None:
    async def work() -> None:
        options: dict[str, Any] = {"name": NAME, "signer": SIGNER, "kek": KEK}
        async with open_log(directory, config=CONFIG, **options) as log:
            await log.append([TraceEntry(kind, "", body=body)], barrier="durable")

    anyio.run(work)


def found(directory: Path) -> list[str]:
    report = verify_trace(directory, key=SIGNER.public, vault=VaultReader(directory, KEK))
    assert report.integrity.verdict == "signed"
    return [finding.text for finding in report.completeness.findings]


def test_only_the_keys_of_the_runs_go(tmp_path: Path) -> None:
    write_log(tmp_path, runs=["run-a", "run-b"])
    before = (tmp_path / KEYS_FILE).read_bytes()

    assert destroy_keys(tmp_path, {"run-a"}) == 1
    assert destroy_keys(tmp_path, {"run-a"}) == 0
    assert key_ids(tmp_path, {"run-a", "run-b"}).keys() == {"run-b"}
    assert (tmp_path / KEYS_FILE).read_bytes() in before


def test_the_old_lines_are_overwritten_where_they_lie(tmp_path: Path) -> None:
    """For whoever has the file open, or finds its blocks."""
    write_log(tmp_path, runs=["run-a", "run-b"])
    with (tmp_path / KEYS_FILE).open("rb") as old:
        destroy_keys(tmp_path, {"run-a"})
        assert b"run-a" not in old.read()


def test_an_erasure_that_is_on_record_is_no_finding(tmp_path: Path) -> None:
    write_log(tmp_path, runs=["run-a", "run-b"])
    keys = key_ids(tmp_path, {"run-a"})["run-a"]
    say(tmp_path, "erase", {"runs": ["run-a"], "keys": keys})
    [still] = found(tmp_path)
    destroy_keys(tmp_path, {"run-a"})

    assert "still there" in still
    assert found(tmp_path) == []
    assert second_verifier.verify(tmp_path, None, KEK) == []


def test_an_entry_covers_nothing_that_came_after_it(tmp_path: Path) -> None:
    """Or one erasure would excuse every later one of that run."""
    say(tmp_path, "erase", {"runs": ["run-a"], "keys": []})
    write_log(tmp_path, runs=["run-a"])
    destroy_keys(tmp_path, {"run-a"})

    assert any("no entry says" in finding for finding in found(tmp_path))
    assert second_verifier.verify(tmp_path, None, KEK) != []


def test_a_run_on_hold_is_not_erased(tmp_path: Path) -> None:
    write_log(tmp_path, runs=["run-a", "run-b"])
    say(tmp_path, "hold", {"runs": ["run-a", "run-b"], "held": True})
    say(tmp_path, "hold", {"runs": ["run-b"], "held": False})
    say(tmp_path, "erase", {"runs": ["run-a", "run-b"], "keys": []})

    assert found(tmp_path) == ["run 'run-a' was erased while it was on hold"]


def test_which_runs_are_meant() -> None:
    runs = {
        "a": RecordedRun("a", {"alice", "helper"}, last=10, sent={"c"}),
        "b": RecordedRun("b", {"bob"}, last=20, held=True),
        "c": RecordedRun("c", {"sub"}, last=30),
    }

    assert chosen_runs(runs, subject="alice", now=0) == ["a", "c"]
    assert with_sent(["c"], runs) == ["c"]
    now = 40 + 24 * 3600 * 1_000_000
    assert chosen_runs(runs, older_than_days=1, now=now) == ["a", "c"]
    with pytest.raises(ConfigError, match="on hold"):
        chosen_runs(runs, named=["b"], now=0)
    with pytest.raises(ConfigError, match="no run 'x'"):
        chosen_runs(runs, named=["x"], now=0)
