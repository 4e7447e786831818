"""Old segments moved away: the log is one log with them, and goes on without them."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import orjson
import pytest
from logs import (
    CONFIG,
    FOREIGN,
    KEK,
    NAME,
    SIGNER,
    before,
    record_run,
    run_start,
    seeded,
    ticking,
)

from permissions import files
from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace import archive, archived, store
from permissions.trace.archive import archive_segments
from permissions.trace.archived import ARCHIVED_FILE, load_archived, save_archived
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.index import TraceIndex
from permissions.trace.key_chain import Reign
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries, read_groups
from permissions.trace.store import all_segments, segments
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.trace.report import Report


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real segment takes megabytes to fill; what is tried is more than one.
    monkeypatch.setattr(store, "SEGMENT_BYTES", 6000)


def record(directory: Path, *runs: str, calls: int = 4) -> None:
    """One more writer, with runs of its own."""

    async def main() -> None:
        async with open_log(
            directory,
            name=NAME,
            signer=SIGNER,
            kek=KEK,
            config=CONFIG,
            clock=ticking(),
            random=seeded("".join(runs)),
        ) as log:
            for run in runs:
                await record_run(log, run, calls)

    anyio.run(main)


def report_of(directory: Path, **how: Any) -> Report:
    how = {"key": SIGNER.public, "vault": VaultReader(directory, KEK), **how}
    return verify_trace(directory, **how)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    record(tmp_path / "log", "run-a", "run-b", "run-c")
    assert len(segments(tmp_path / "log")) > 4
    return tmp_path / "log"


def test_the_log_is_whole_with_the_archive_and_goes_on_without(log: Path, tmp_path: Path):
    whole, numbers = report_of(log), [each.index for each in read_entries(log)]
    index = TraceIndex(log, tmp_path / "index")
    run_a = [each.index for each in index.run("run-a")]

    moved = archive_segments(log, tmp_path / "old", key=SIGNER.public, keep=2)

    assert len(segments(log)) == 2
    assert len(moved.segments) == len(all_segments(log)) - 2
    assert report_of(log) == whole
    assert whole.completeness.is_whole
    assert [each.index for each in read_entries(log)] == numbers
    assert [each.index for each in index.run("run-a")] == run_a
    assert [each.index for each in TraceIndex(log, None).run("run-a")] == run_a

    alone = report_of(log, alone=True)
    assert (alone.integrity.verdict, alone.integrity.size) == ("signed", whole.integrity.size)
    assert alone.integrity.root == whole.integrity.root
    assert alone.completeness.archived == moved.entries
    assert alone.completeness.findings == ()
    assert not alone.completeness.is_whole, "not all of it was read"
    assert whole.checkpoint is not None
    anchored = report_of(log, alone=True, known={"elsewhere": whole.checkpoint})
    assert anchored.anchoring == "anchored"


def test_an_archive_that_is_gone_is_said(log: Path, tmp_path: Path):
    index = TraceIndex(log, tmp_path / "index")
    assert list(index.run("run-a"))
    archive_segments(log, tmp_path / "old", key=SIGNER.public)
    (tmp_path / "old").rename(tmp_path / "unmounted")

    report = report_of(log)

    assert (report.integrity.verdict, report.completeness.findings) == ("signed", ())
    assert report.completeness.archived > 0
    with pytest.raises(TraceError, match=r"the archive .*old is not there"):
        list(index.run("run-a"))
    made_without = TraceIndex(log, tmp_path / "new")
    assert list(made_without.run("run-a")) == []
    assert list(made_without.run("run-c"))
    (tmp_path / "unmounted").rename(tmp_path / "old")
    assert list(made_without.run("run-a"))


def test_the_archive_alone_is_a_log_that_goes_so_far(log: Path, tmp_path: Path):
    moved = archive_segments(log, tmp_path / "old", key=SIGNER.public)
    note = (tmp_path / "old" / f"{moved.entries}.checkpoint").read_text()

    report = verify_trace(tmp_path / "old", key=SIGNER.public, known={"its own": note})

    assert (report.integrity.verdict, report.integrity.size) == ("signed", moved.entries)
    assert report.anchoring == "anchored"
    assert not (tmp_path / "old" / "vault.keys").exists(), "no key lies in an archive"


def test_a_writer_goes_on_after_the_archive_and_more_is_archived(log: Path, tmp_path: Path):
    archive_segments(log, tmp_path / "old", key=SIGNER.public)
    record(log, "run-d")
    (log / "snapshot.json").unlink()
    (tmp_path / "old").rename(tmp_path / "unmounted")
    record(log, "run-e")
    (tmp_path / "unmounted").rename(tmp_path / "old")

    archive_segments(log, tmp_path / "old", key=SIGNER.public, keep=1)

    report = report_of(log)
    assert (report.integrity.verdict, report.completeness.is_whole) == ("signed", True)
    assert {each.run for each in read_entries(log)} >= {"run-a", "run-d", "run-e"}


def test_a_run_over_the_cut_has_no_finding_and_a_crash_leaves_its_gap(tmp_path: Path):
    log = tmp_path / "log"

    async def main() -> None:
        async with open_log(
            log, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG, clock=ticking()
        ) as writer:
            from logs import before, outcome, run_start

            entries = [run_start("r"), *before("r", "long"), *before("r", "crossing")]
            await writer.append(entries, barrier="durable")
            await record_run(writer, "other", 8)
            archive_segments(log, tmp_path / "old", key=SIGNER.public)
            await writer.append([outcome("r", "crossing")], barrier="durable")
            await record_run(writer, "another", 2)

    anyio.run(main)
    alone = report_of(log, alone=True).completeness
    assert alone.findings == ()
    assert [each.call for each in alone.open_calls] == ["long"]
    (log / "snapshot.json").unlink()
    shutil.rmtree(tmp_path / "old")

    record(log, "later")

    gaps = [each.call for each in read_entries(log) if each.type == "gap"]
    assert gaps == ["long"], "whose beginning lies in the archive"


def test_what_contradicts_itself_after_the_cut_is_still_found(log: Path, tmp_path: Path):
    archive_segments(log, tmp_path / "old", key=SIGNER.public)

    async def main() -> None:
        async with open_log(
            log, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG, clock=ticking()
        ) as writer:
            (intent, _, start) = before("run-z", "call")
            await writer.append([run_start("run-z"), intent, start], barrier="durable")

    anyio.run(main)
    found = report_of(log, alone=True).completeness.findings
    assert any("started without a permit" in each.text for each in found)


@pytest.mark.parametrize("alone", [True, False])
def test_one_flipped_byte_is_found(alone: bool, log: Path, tmp_path: Path):  # noqa: FBT001
    archive_segments(log, tmp_path / "old", key=SIGNER.public)
    path = all_segments(log, alone=alone)[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    assert report_of(log, alone=alone).integrity.verdict == "failed"


def test_a_pointer_of_another_log_is_found(log: Path, tmp_path: Path):
    archive_segments(log, tmp_path / "old", key=SIGNER.public)
    other = tmp_path / "other"
    record(other, "run-q", "run-r", "run-s")
    archive_segments(other, tmp_path / "old2", key=SIGNER.public)
    shutil.copy(other / ARCHIVED_FILE, log / ARCHIVED_FILE)

    assert report_of(log, alone=True).integrity.verdict == "failed"
    assert report_of(log).integrity.verdict == "failed"
    (log / "snapshot.json").unlink()
    with pytest.raises(TraceIntegrityError):
        record(log, "run-t")


def test_keys_in_the_pointer_vouch_for_nothing_the_pin_does_not(log: Path, tmp_path: Path):
    """Who holds another key writes it in, signs the cut with both, and all after it alone."""
    archive_segments(log, tmp_path / "old", key=SIGNER.public)
    found = load_archived(log)
    assert found is not None
    checkpoint = parse_checkpoint(found.note)
    forged = CheckpointSigner(checkpoint.origin, FOREIGN).sign(checkpoint.size, checkpoint.root)
    found.chain.reigns.append(Reign(FOREIGN.public, found.size))
    save_archived(log, replace(found, note=found.note + forged.split("\n\n")[1]))
    for path in segments(log):
        path.write_bytes(b"")

    alone = report_of(log, alone=True, is_pinned=True).integrity

    assert alone.verdict == "consistent", "signed by a key that nothing vouches for"


def test_an_older_known_checkpoint_is_compared_with_the_archive_or_told(
    log: Path, tmp_path: Path
):
    early = orjson.loads(next(read_groups(log)).checkpoint.data)["checkpoint"]
    archive_segments(log, tmp_path / "old", key=SIGNER.public)

    assert report_of(log, known={"early": early}).anchoring == "anchored"
    alone = report_of(log, known={"early": early}, alone=True)
    assert alone.anchoring == "unanchored"
    assert "was not compared" in alone.completeness.findings[0].text


def test_what_is_not_what_was_signed_is_not_moved(log: Path, tmp_path: Path):
    with pytest.raises(TraceIntegrityError, match="nothing is archived"):
        archive_segments(log, tmp_path / "old", key=FOREIGN.public)
    assert load_archived(log) is None
    with pytest.raises(TraceError, match="own folder"):
        archive_segments(log, log / "old", key=SIGNER.public)


def test_a_segment_that_is_being_closed_stays(log: Path, tmp_path: Path):
    *_, last = segments(log)
    closing = segments(log)[-2]
    with closing.open("ab") as file:
        file.write(bytes(1000))

    with pytest.raises(TraceError, match=r"does not end with a checkpoint|not what was"):
        archive_segments(log, tmp_path / "old", key=SIGNER.public)
    assert last in segments(log)
    assert closing in segments(log)


def test_by_age(log: Path, tmp_path: Path):
    entries = list(read_entries(log))
    middle = entries[len(entries) // 2].time

    archive_segments(log, tmp_path / "old", key=SIGNER.public, before=middle)

    found = load_archived(log)
    assert found is not None
    assert 0 < found.size < len(entries)
    assert all(each.time < middle for each in entries[: found.size])


class Killed(BaseException):
    """The process ends here."""


def steps(monkeypatch: pytest.MonkeyPatch, die_at: int) -> Iterator[int]:
    """Every change on disk and every sync of an archiving is a moment to be killed at."""
    done = iter(range(10_000))

    def dying(target: object, name: str) -> None:
        real = getattr(target, name)

        def step(*args: object, **named: object) -> object:
            if next(done) == die_at:
                raise Killed
            return real(*args, **named)

        # The real step runs, or the power goes before it: nobody can cut that from outside.
        monkeypatch.setattr(target, name, step)

    dying(os, "fsync")
    dying(os, "replace")
    dying(Path, "unlink")
    dying(Path, "replace")
    dying(files.os, "open")
    dying(archive, "save_archived")
    dying(archive, "sync_folder")
    return done


@pytest.mark.slow
def test_killed_at_each_step_the_log_is_whole_and_the_next_call_finishes(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = report_of(log)
    shutil.copytree(log, tmp_path / "first")
    for die_at in range(1000):
        shutil.rmtree(log)
        shutil.rmtree(tmp_path / "old", ignore_errors=True)
        shutil.copytree(tmp_path / "first", log)
        with monkeypatch.context() as patch:
            steps(patch, die_at)
            try:
                archive_segments(log, tmp_path / "old", key=SIGNER.public, keep=2)
            except Killed:
                pass
            else:
                break

        assert report_of(log) == whole, f"killed at step {die_at}"
        alone = report_of(log, alone=True).integrity
        assert (alone.verdict, alone.size) == ("signed", whole.integrity.size)
        archive_segments(log, tmp_path / "old", key=SIGNER.public, keep=2)
        assert len(segments(log)) == 2
        assert report_of(log) == whole
    assert die_at > 15, "there were steps to be killed at"
    assert archived.load_archived(log) is not None
