"""Keys that are destroyed, the entries that say so, and what a verifier finds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio
import orjson
import pytest
import second_verifier
from logs import CONFIG, KEK, NAME, SIGNER, write_log
from power import SECTOR, recording, write_out

from permissions.errors import ConfigError
from permissions.setup.erasure import RecordedRun, chosen_runs, expired, with_sent
from permissions.trace.entry import TraceEntry
from permissions.trace.key_lines import KEYS_FILE, KeyName, destroy_keys, key_names
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.vault import ErasedError, VaultReader
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

    assert destroy_keys(tmp_path, {"run-a"}) == 3
    assert destroy_keys(tmp_path, {"run-a"}) == 0
    assert {each.run for each in key_names(tmp_path, {"run-a", "run-b"})} == {"run-b"}
    assert (tmp_path / KEYS_FILE).read_bytes() in before


def test_the_old_lines_are_overwritten_where_they_lie(tmp_path: Path) -> None:
    """For whoever has the file open, or finds its blocks."""
    write_log(tmp_path, runs=["run-a", "run-b"])
    with (tmp_path / KEYS_FILE).open("rb") as old:
        destroy_keys(tmp_path, {"run-a"})
        assert b"run-a" not in old.read()


def test_an_erasure_that_is_on_record_is_no_finding(tmp_path: Path) -> None:
    write_log(tmp_path, runs=["run-a", "run-b"])
    keys = [each.id for each in key_names(tmp_path, {"run-a"})]
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

    assert chosen_runs(runs, subject="alice") == ["a", "c"]
    assert with_sent(["c"], runs) == ["c"]
    with pytest.raises(ConfigError, match="on hold"):
        chosen_runs(runs, named=["b"])
    with pytest.raises(ConfigError, match="no run 'x'"):
        chosen_runs(runs, named=["x"])


def test_each_clock_erases_what_is_its_own_and_still_there() -> None:
    day = 24 * 3600 * 1_000_000
    runs = {
        name: RecordedRun(name, last=(100 - age) * day, held=name == "held")
        for name, age in {"old": 40, "mid": 20, "new": 5, "held": 90, "bare": 90}.items()
    }
    kinds = ("arguments", "decisions", "results")
    there = [KeyName(run, kind, "") for run in ("old", "mid", "new", "held") for kind in kinds]
    clocks: dict[str, Any] = {"results": 10, "arguments": 30, "files": 1}

    def chosen(days: int | None, kind_days: dict[Any, int]) -> dict[str, tuple[str, ...]]:
        found = expired(runs, there, days=days, kind_days=kind_days, now=100 * day)
        return {run: tuple(kinds) for run, kinds in found.items()}

    assert chosen(None, clocks) == {"old": ("arguments", "results"), "mid": ("results",)}
    assert chosen(30, clocks) == {"old": (), "mid": ("results",)}
    assert chosen(30, {}) == {"old": ()}
    there[:] = [key for key in there if key.run != "mid" or key.kind != "results"]
    assert chosen(30, clocks) == {"old": ()}, "what is gone is not erased again each night"


def erase_results(directory: Path, said: list[str], kinds: list[str]) -> None:
    """An entry that says these kinds, and the keys for these kinds destroyed."""
    keys = [each.id for each in key_names(directory, {"run-a"}) if each.kind in said]
    say(directory, "erase", {"runs": ["run-a"], "kinds": said, "keys": keys})
    destroy_keys(directory, {"run-a"}, kinds)


def test_a_kind_goes_and_all_else_of_the_run_stays(tmp_path: Path) -> None:
    write_log(tmp_path, runs=["run-a", "run-b"])

    erase_results(tmp_path, ["results"], ["results"])

    assert found(tmp_path) == []
    assert second_verifier.verify(tmp_path, None, KEK) == []
    vault = VaultReader(tmp_path, KEK)
    closed = set()
    for entry in read_entries(tmp_path):
        for name in entry.digests:
            try:
                entry.open(name, vault)
            except ErasedError as err:
                closed.add((entry.run, name, str(err)))
    said = "erased: the key of run 'run-a' for results is not there"
    assert closed == {("run-a", "result", said)}


@pytest.mark.parametrize(
    ("said", "kinds", "finding"),
    [
        ([], [], None),
        (["arguments", "results"], ["arguments", "results"], None),
        (["results"], ["arguments"], "for arguments is not there, and no entry says"),
        (["results"], ["results", "decisions"], "for decisions is not there, and no entry"),
        (["results"], [], "for arguments, decisions is not there, and no entry says"),
        (["arguments", "results"], ["results"], "was to be erased, and is still there"),
    ],
    ids=["all", "two", "another", "one more", "all for one", "one less"],
)
def test_a_kind_that_no_entry_names_is_a_finding(
    tmp_path: Path, said: list[str], kinds: list[str], finding: str | None
) -> None:
    write_log(tmp_path)
    if not said:
        keys = [each.id for each in key_names(tmp_path, {"run-a"})]
        say(tmp_path, "erase", {"runs": ["run-a"], "keys": keys})
        destroy_keys(tmp_path, {"run-a"})
    else:
        erase_results(tmp_path, said, kinds)

    texts = " ".join(found(tmp_path))
    assert (finding or "") in texts
    assert bool(texts) == bool(finding)
    assert bool(second_verifier.verify(tmp_path, None, KEK)) == bool(finding)


def test_cut_off_at_any_moment_no_other_key_is_harmed(tmp_path: Path) -> None:
    """Every state of the disk while keys are destroyed, and after it was done again."""
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"], calls=1)
    others = set(key_names(log, {"run-a", "run-b"}))
    others -= {each for each in others if (each.run, each.kind) == ("run-b", "arguments")}
    data = (log / KEYS_FILE).read_bytes()
    line = next(each for each in data.splitlines() if b'"arguments","run":"run-b"' in each)
    wrapped = orjson.loads(line)["wrapped"].encode()
    assert data.index(line) < SECTOR < data.index(line) + len(line), "half of it may be left"
    with recording(log) as recorder:
        destroy_keys(log, {"run-b"}, ["arguments"])
        recorder.look()

    tried, rng = 0, random.Random(7)  # noqa: S311 - a sample
    for moment in recorder.moments:
        for state in moment.states(rng, exhaustive=3, samples=9):
            copy = tmp_path / f"state-{tried}"
            write_out(state, copy)
            assert others <= set(key_names(copy, {"run-a", "run-b"}))
            destroy_keys(copy, {"run-b"}, ["arguments"])
            assert others == set(key_names(copy, {"run-a", "run-b"}))
            assert wrapped not in (copy / KEYS_FILE).read_bytes()
            tried += 1
    assert tried > 4
