"""What a verification says of logs that are odd, but nobody's attack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from logs import SIGNER, START, tree_root, write_log

from permissions.cli.trace_text import report_text
from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace import codec
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.encoder import ENTRY_PREFIX, checkpoint_line
from permissions.trace.known_checkpoints import KnownCheckpoints, read_checkpoint
from permissions.trace.merkle import leaf_hash
from permissions.trace.reader import log_origin, read_entries
from permissions.trace.store import segment_path
from permissions.trace.verify import MAX_BATCH, verify_trace

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "logs.example/odd"


def entry(index: int, kind: str, /, **members: Any) -> bytes:
    return codec.encode(
        {
            "body": {"key": str(SIGNER.public), "origin": ORIGIN} if kind == "log.open" else {},
            "call": None,
            "contents": {},
            "index": index,
            "run": None,
            "time": START + index,
            "type": kind,
            "v": 2,
            **members,
        }
    )


def write_lines(directory: Path, entries: list[bytes], *, origin: str = ORIGIN) -> None:
    """One batch, rightly signed."""
    note = CheckpointSigner(origin, SIGNER).sign(
        len(entries), tree_root([leaf_hash(each) for each in entries])
    )
    data = b"".join(each + b"\n" for each in entries) + checkpoint_line(note)
    segment_path(directory, 0).write_bytes(data)


def test_types_of_a_later_version_are_counted_not_judged(tmp_path: Path):
    write_lines(tmp_path, [entry(0, "log.open"), entry(1, "anchor"), entry(2, "log.close")])

    report = verify_trace(tmp_path, key=SIGNER.public)

    assert report.integrity.verdict == "signed"
    assert report.completeness.unknown_types == 1
    assert report.completeness.is_whole


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (
            {"v": 1},
            "version 1 of the trace format, this Wardline reads 2 alone: verify it with",
        ),
        ({"v": 1, "tags": {}}, "`wardline trace renew` sets that log aside"),
        (
            {"v": 9},
            "version 9 of the trace format, this Wardline reads 2: use the release that",
        ),
        ({"v": "1"}, "the version of an entry is no number"),
    ],
    ids=["older", "older-of-another-form", "later", "none"],
)
def test_a_log_of_another_version_says_which_and_what_to_do(
    tmp_path: Path, odd: dict[str, Any], said: str
):
    write_lines(tmp_path, [entry(0, "log.open"), entry(1, "config", **odd)])

    report = verify_trace(tmp_path, key=SIGNER.public)

    assert report.integrity.verdict == "failed"
    assert said in str(report.integrity.reason)


@pytest.mark.parametrize(
    "odd",
    [
        {"v": 1},
        {"v": 3},
        {"v": True},
        {"index": 7},
        {"index": -1},
        {"time": None},
        {"run": 1},
        {"extra": 1},
        {"contents": {"a": {}}},
        {"contents": {"a": 43 * "A"}},
        {"contents": {"A b": 43 * "A" + "="}},
    ],
    ids=str,
)
def test_an_odd_entry_fails_though_it_is_signed(tmp_path: Path, odd: dict[str, Any]):
    """The writer itself may be at fault."""
    write_lines(tmp_path, [entry(0, "log.open"), entry(1, "config", **odd)])

    report = verify_trace(tmp_path, key=SIGNER.public)

    assert report.integrity.verdict == "failed"
    assert report.integrity.failed_at == 1


def test_a_log_begins_with_its_opening(tmp_path: Path):
    write_lines(tmp_path, [entry(0, "config")])

    assert verify_trace(tmp_path, key=SIGNER.public).integrity.verdict == "failed"


def test_a_checkpoint_of_another_origin_fails(tmp_path: Path):
    write_lines(tmp_path, [entry(0, "log.open")], origin="logs.example/else")

    assert verify_trace(tmp_path, key=SIGNER.public).integrity.verdict == "failed"


@pytest.mark.slow
def test_too_many_entries_under_one_checkpoint_are_refused(tmp_path: Path):
    """So that no log can make its verifier run out of memory."""
    opening = [entry(0, "log.open")]
    write_lines(tmp_path, opening + [entry(i, "config") for i in range(1, MAX_BATCH + 2)])

    report = verify_trace(tmp_path, key=SIGNER.public)

    assert report.integrity.verdict == "failed"
    assert f"no checkpoint over {MAX_BATCH}" in (report.integrity.reason or "")


def test_the_last_signature_alone_finds_a_forged_head(tmp_path: Path):
    write_log(tmp_path)

    good = verify_trace(tmp_path, key=SIGNER.public, signatures="last")
    lines = segment_path(tmp_path, 0).read_bytes().splitlines(keepends=True)
    size = sum(line.startswith(ENTRY_PREFIX) for line in lines)
    assert good.integrity.size == size
    forged = bytearray(lines[-1])
    forged[-20] = ord("A") if forged[-20] != ord("A") else ord("B")
    segment_path(tmp_path, 0).write_bytes(b"".join(lines[:-1]) + bytes(forged))

    report = verify_trace(tmp_path, key=SIGNER.public, signatures="last")

    assert report.integrity.verdict == "failed"


def test_where_no_log_is_there_is_an_error_and_no_verdict(tmp_path: Path):
    for nothing in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TraceError):
            verify_trace(nothing)
        with pytest.raises(TraceError):
            list(read_entries(nothing))


def test_a_log_in_which_nothing_is_left_is_not_called_signed(tmp_path: Path):
    """A pinned key proves what it signed, and here is nothing."""
    segment_path(tmp_path, 0).write_bytes(b"")

    report = verify_trace(tmp_path, key=SIGNER.public)

    assert (report.integrity.verdict, report.integrity.checkpoints) == ("consistent", 0)
    text = report_text(report, key_source="pin.pub")
    assert "but nothing in it is signed" in text
    assert "signed by" not in text


def test_a_reader_gives_nothing_that_no_checkpoint_covers(tmp_path: Path):
    write_log(tmp_path)
    whole = len(list(read_entries(tmp_path)))
    data = segment_path(tmp_path, 0).read_bytes()
    segment_path(tmp_path, 0).write_bytes(data[: data.rindex(b'{"checkpoint"')])

    assert len(list(read_entries(tmp_path))) == whole - 1


def test_a_reader_refuses_a_malformed_line(tmp_path: Path):
    write_log(tmp_path)
    data = segment_path(tmp_path, 0).read_bytes()
    segment_path(tmp_path, 0).write_bytes(data.replace(b'"call":null', b'"call":nul1', 1))

    with pytest.raises(TraceIntegrityError):
        list(read_entries(tmp_path))
    assert log_origin(tmp_path) is None


def test_a_content_that_is_not_there_cannot_be_opened(tmp_path: Path):
    write_log(tmp_path)
    found = next(each for each in read_entries(tmp_path) if each.type == "intent")

    with pytest.raises(TraceError, match="has no content"):
        found.open("other", None)  # type: ignore[arg-type]


def test_known_checkpoints_keep_one_checkpoint_a_log(tmp_path: Path):
    known = KnownCheckpoints(tmp_path / "checkpoints")
    first = CheckpointSigner(ORIGIN, SIGNER).sign(1, bytes(32))
    second = CheckpointSigner(ORIGIN, SIGNER).sign(2, bytes(32))

    assert known.get(ORIGIN) is None
    known.remember(first)
    known.remember(second)

    assert known.get(ORIGIN) == second
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [
        known.path(ORIGIN).name
    ]


def test_what_is_no_head_is_refused(tmp_path: Path):
    (tmp_path / "checkpoint").write_text("no")
    (tmp_path / "file").write_text("")

    for path in (tmp_path / "checkpoint", tmp_path / "absent"):
        with pytest.raises(TraceError):
            read_checkpoint(path)
    with pytest.raises(TraceError, match="could not be kept"):
        KnownCheckpoints(tmp_path / "file").remember(
            CheckpointSigner(ORIGIN, SIGNER).sign(1, bytes(32))
        )
