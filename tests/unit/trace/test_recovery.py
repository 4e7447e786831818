"""A writer died: what the next one finds, cuts, keeps and says."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from logs import CONFIG, KEK, NAME, SIGNER, before, run_start, write_log

from permissions.cli.trace_text import report_text
from permissions.trace.encoder import CHECKPOINT_PREFIX
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.store import segment_path
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.trace.report import Report


def verified(directory: Path) -> Report:
    return verify_trace(directory, key=SIGNER.public)


KEYS: list[bytes] = []
"""Of the log whose batches the tests write."""


async def resume(directory: Path) -> None:
    if not (directory / "vault.keys").exists():
        (directory / "vault.keys").write_bytes(KEYS[-1])
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG):
        pass


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A log of a died writer up to its last but one batch, and that last batch."""
    directory = tmp_path_factory.mktemp("whole")
    write_log(directory, calls=1)
    data = segment_path(directory, 0).read_bytes()
    KEYS.append((directory / "vault.keys").read_bytes())
    ends = [at for at in range(len(data)) if data.startswith(CHECKPOINT_PREFIX, at)]
    ends = [data.index(b"\n", at) + 1 for at in ends]
    # The batch of the intent, whose call is then open; after it come outcome, end, close.
    return data[: ends[1]], data[ends[1] : ends[2]]


async def test_a_torn_tail_is_cut_at_every_offset(tmp_path: Path, batches: tuple[bytes, bytes]):
    """Whatever part of the last batch reached the disk, nothing acknowledged is lost."""
    kept, torn = batches
    for length in [*range(0, len(torn), 17), len(torn) - 1, len(torn)]:
        directory = tmp_path / str(length)
        directory.mkdir()
        segment_path(directory, 0).write_bytes(kept + torn[:length] + bytes(64))
        before_ = verified(directory)

        await resume(directory)

        report = verified(directory)
        assert report.integrity.verdict == "signed"
        assert segment_path(directory, 0).read_bytes().startswith(kept)
        files = list(directory.glob("*.torn"))
        if length in (0, len(torn)):
            assert not files
            assert before_.completeness.unsigned_bytes == 0
        else:
            assert [file.read_bytes() for file in files] == [torn[:length]]
            assert before_.completeness.unsigned_bytes == length
        assert report.completeness.gaps == (length == len(torn))


async def test_the_record_names_what_was_cut(tmp_path: Path, batches: tuple[bytes, bytes]):
    kept, torn = batches
    segment_path(tmp_path, 0).write_bytes(kept + torn[:200])

    await resume(tmp_path)

    [recovered] = [each for each in read_entries(tmp_path) if each.type == "log.recover"]
    [file] = tmp_path.glob("*.torn")
    assert recovered.body["torn"] == [
        {
            "file": file.name,
            "bytes": 200,
            "digest": "sha256:" + hashlib.sha256(torn[:200]).hexdigest(),
        }
    ]


async def test_a_cut_that_was_not_recorded_is_named_by_the_next_recovery(
    tmp_path: Path, batches: tuple[bytes, bytes]
):
    """The writer died a second time, between the cut and the entry about it."""
    kept, torn = batches
    segment_path(tmp_path, 0).write_bytes(kept)
    digest = hashlib.sha256(torn[:99]).hexdigest()
    (tmp_path / f"3-{digest[:16]}.torn").write_bytes(torn[:99])

    await resume(tmp_path)

    [recovered] = [each for each in read_entries(tmp_path) if each.type == "log.recover"]
    assert recovered.body["torn"][0]["digest"] == "sha256:" + digest


async def test_a_call_that_was_open_gets_a_gap_and_only_one(
    tmp_path: Path, batches: tuple[bytes, bytes]
):
    segment_path(tmp_path, 0).write_bytes(b"".join(batches))
    [open_call] = verified(tmp_path).completeness.open_calls
    assert open_call.last == "start"

    await resume(tmp_path)
    await resume(tmp_path)

    gaps = [each for each in read_entries(tmp_path) if each.type == "gap"]
    assert [gap.call for gap in gaps] == [open_call.call]
    assert gaps[0].body == {"reason": "outcome_unknown", "last": "start"}
    report = verified(tmp_path)
    assert report.completeness.open_calls == ()
    assert report.completeness.gaps == 1
    assert open_call.tool == "read"
    assert report.completeness.gap_calls == (open_call,)
    assert not report.completeness.is_whole
    text = report_text(report, key_source="here")
    assert f"gap       read  {open_call.call} of run {open_call.run}," in text
    [listed] = report.document()["completeness"]["gap_calls"]
    assert (listed["tool"], listed["call"], listed["run"]) == (
        open_call.tool,
        open_call.call,
        open_call.run,
    )


async def test_a_run_goes_on_under_the_next_writer(
    tmp_path: Path, batches: tuple[bytes, bytes]
):
    segment_path(tmp_path, 0).write_bytes(b"".join(batches))
    (tmp_path / "vault.keys").write_bytes(KEYS[-1])

    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await log.append([run_start("run-a")], barrier="durable")
        await log.append(before("run-a", "again"), barrier="durable")

    report = verified(tmp_path)
    assert report.completeness.findings == ()
    assert report.completeness.open_runs == ("run-a",)


async def test_a_writer_killed_before_its_first_checkpoint_leaves_nothing_promised(
    tmp_path: Path, batches: tuple[bytes, bytes]
):
    segment_path(tmp_path, 0).write_bytes(batches[0][:150])

    await resume(tmp_path)

    assert verified(tmp_path).completeness.closed
    assert len(list(tmp_path.glob("*.torn"))) == 1


async def test_an_empty_segment_after_the_last_checkpoint_is_no_damage(
    tmp_path: Path, batches: tuple[bytes, bytes]
):
    """A writer died after it had made the next segment, and before it wrote into it."""
    segment_path(tmp_path, 0).write_bytes(batches[0])
    segment_path(tmp_path, 3).write_bytes(bytes(4096))

    await resume(tmp_path)

    assert verified(tmp_path).completeness.closed


def test_a_clean_close_needs_no_recovery(tmp_path: Path):
    write_log(tmp_path)
    write_log(tmp_path, runs=["run-b"], seed="later")

    assert "log.recover" not in [each.type for each in read_entries(tmp_path)]
    assert verified(tmp_path).completeness.is_whole
