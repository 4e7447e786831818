"""Somebody who can write the log's files, but has no key, alters what happened."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pytest
import second_verifier
from logs import (
    CONFIG,
    FOREIGN,
    KEK,
    NAME,
    SIGNER,
    record_run,
    seeded,
    ticking,
    tree_root,
    write_log,
)

from permissions.errors import TraceIntegrityError, TraceWriteError
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.encoder import CHECKPOINT_PREFIX, CONTENT_PREFIX, ENTRY_PREFIX
from permissions.trace.log import open_log
from permissions.trace.merkle import leaf_hash
from permissions.trace.snapshot import SNAPSHOT_FILE
from permissions.trace.store import segment_path
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.trace.report import Report

Lines = list[bytes]


def segment(directory: Path) -> Path:
    return segment_path(directory, 0)


def read(directory: Path) -> Lines:
    return segment(directory).read_bytes().splitlines()


def write(directory: Path, lines: Lines) -> None:
    segment(directory).write_bytes(b"".join(line + b"\n" for line in lines))


def paths(lines: Lines, prefix: bytes) -> list[int]:
    return [path for path, line in enumerate(lines) if line.startswith(prefix)]


def verified(directory: Path, **options: object) -> Report:
    return verify_trace(directory, key=SIGNER.public, **options)  # type: ignore[arg-type]


def edit_entry(lines: Lines) -> Lines:
    at = paths(lines, ENTRY_PREFIX)[4]
    lines[at] = lines[at].replace(b'"permitted":true', b'"permitted":null')
    return lines


def edit_time(lines: Lines) -> Lines:
    at = paths(lines, ENTRY_PREFIX)[3]
    document = orjson.loads(lines[at])
    document["time"] += 1
    lines[at] = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return lines


def drop_entry(lines: Lines) -> Lines:
    del lines[paths(lines, ENTRY_PREFIX)[5]]
    return lines


def drop_last_entry(lines: Lines) -> Lines:
    del lines[paths(lines, ENTRY_PREFIX)[-1]]
    return lines


def drop_batch(lines: Lines) -> Lines:
    first, second = paths(lines, CHECKPOINT_PREFIX)[1:3]
    return lines[: first + 1] + lines[second + 1 :]


def insert_entry(lines: Lines) -> Lines:
    at = paths(lines, ENTRY_PREFIX)[4]
    return [*lines[:at], lines[at].replace(b"read", b"rite"), *lines[at:]]


def duplicate_entry(lines: Lines) -> Lines:
    at = paths(lines, ENTRY_PREFIX)[4]
    return [*lines[:at], lines[at], *lines[at:]]


def swap_entries(lines: Lines) -> Lines:
    one, other = paths(lines, ENTRY_PREFIX)[4:6]
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def renumber_swapped(lines: Lines) -> Lines:
    one, other = paths(lines, ENTRY_PREFIX)[3:5]
    first, second = orjson.loads(lines[one]), orjson.loads(lines[other])
    first["index"], second["index"] = second["index"], first["index"]
    lines[one] = orjson.dumps(second, option=orjson.OPT_SORT_KEYS)
    lines[other] = orjson.dumps(first, option=orjson.OPT_SORT_KEYS)
    return lines


def add_space(lines: Lines) -> Lines:
    at = paths(lines, ENTRY_PREFIX)[4]
    lines[at] = lines[at].replace(b'"call":', b'"call": ')
    return lines


def repeat_member(lines: Lines) -> Lines:
    at = paths(lines, ENTRY_PREFIX)[4]
    lines[at] = lines[at][:-1] + b',"v":1}'
    return lines


def edit_content(lines: Lines) -> Lines:
    at = paths(lines, CONTENT_PREFIX)[0]
    lines[at] = lines[at].replace(b"A", b"B", 1)
    return lines


def swap_contents(lines: Lines) -> Lines:
    one, other = paths(lines, CONTENT_PREFIX)[:2]
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def repeat_content(lines: Lines) -> Lines:
    at = paths(lines, CONTENT_PREFIX)[0]
    return [*lines[:at], lines[at], *lines[at:]]


def edit_signature(lines: Lines) -> Lines:
    at = paths(lines, CHECKPOINT_PREFIX)[2]
    note = orjson.loads(lines[at])["checkpoint"]
    text, _, signature = note.rstrip("\n").rpartition(" ")
    raw = bytearray(base64.b64decode(signature))
    raw[-1] ^= 1
    forged = f"{text} {base64.b64encode(raw).decode()}\n"
    lines[at] = orjson.dumps({"checkpoint": forged})
    return lines


def forge_checkpoint(lines: Lines) -> Lines:
    """Rewrites an entry, and signs the new root with another key under the same name."""
    lines = edit_entry(lines)
    at = paths(lines, CHECKPOINT_PREFIX)[-1]
    leaves = [leaf_hash(line) for line in lines if line.startswith(ENTRY_PREFIX)]
    origin = orjson.loads(lines[at])["checkpoint"].split("\n")[0]
    note = CheckpointSigner(origin, FOREIGN).sign(len(leaves), tree_root(leaves))
    lines = [line for line in lines if not line.startswith(CHECKPOINT_PREFIX)]
    return [*lines, orjson.dumps({"checkpoint": note})]


def move_checkpoint(lines: Lines) -> Lines:
    """An earlier checkpoint stands where a later one was."""
    first, second = paths(lines, CHECKPOINT_PREFIX)[2:4]
    lines[second] = lines[first]
    return lines


def cut_first_batch(lines: Lines) -> Lines:
    return lines[paths(lines, CHECKPOINT_PREFIX)[0] + 1 :]


def blank_line(lines: Lines) -> Lines:
    at = paths(lines, ENTRY_PREFIX)[4]
    return [*lines[:at], b"", *lines[at:]]


FOUND: list[Callable[[Lines], Lines]] = [
    edit_entry,
    edit_time,
    drop_entry,
    drop_last_entry,
    drop_batch,
    insert_entry,
    duplicate_entry,
    swap_entries,
    renumber_swapped,
    add_space,
    repeat_member,
    edit_content,
    swap_contents,
    repeat_content,
    edit_signature,
    forge_checkpoint,
    move_checkpoint,
    cut_first_batch,
    blank_line,
]


@pytest.mark.parametrize("mutate", FOUND, ids=lambda mutate: mutate.__name__)
def test_mutation_fails_integrity(tmp_path: Path, mutate: Callable[[Lines], Lines]):
    write_log(tmp_path)
    lines = read(tmp_path)
    assert verified(tmp_path).integrity.verdict == "signed"

    write(tmp_path, mutate(lines.copy()))

    assert read(tmp_path) != lines
    report = verified(tmp_path)
    assert report.integrity.verdict == "failed"
    assert report.integrity.reason
    assert report.integrity.failed_at is not None


# A writer checks the last signature only: its root covers every entry before it.
REFUSED = [mutate for mutate in FOUND if mutate is not edit_signature]


@pytest.mark.parametrize("mutate", REFUSED, ids=lambda mutate: mutate.__name__)
def test_mutated_log_is_not_continued(tmp_path: Path, mutate: Callable[[Lines], Lines]):
    """A writer that went on would sign what was altered. With its snapshot it signs what was."""
    write_log(tmp_path)
    (tmp_path / SNAPSHOT_FILE).unlink()
    write(tmp_path, mutate(read(tmp_path)))
    mutated = segment(tmp_path).read_bytes()

    with pytest.raises(TraceIntegrityError):
        write_log(tmp_path)

    assert segment(tmp_path).read_bytes() == mutated


def test_splice_from_another_run_fails(tmp_path: Path):
    """Same key, same name, same index: another log's entry is not this log's."""
    write_log(tmp_path / "one", runs=["run-a"])
    write_log(tmp_path / "two", runs=["run-b"], seed="two")
    lines, others = read(tmp_path / "one"), read(tmp_path / "two")
    at, there = paths(lines, ENTRY_PREFIX)[3], paths(others, ENTRY_PREFIX)[3]
    lines[at] = others[there]
    write(tmp_path / "one", lines)

    assert verified(tmp_path / "one").integrity.verdict == "failed"


def test_splice_of_a_whole_log_fails_on_its_name(tmp_path: Path):
    write_log(tmp_path / "one", runs=["run-a"])
    write_log(tmp_path / "two", runs=["run-b"], seed="two")
    checkpoint = verified(tmp_path / "one").checkpoint
    assert checkpoint is not None
    segment(tmp_path / "one").write_bytes(segment(tmp_path / "two").read_bytes())

    report = verified(tmp_path / "one", known={"kept": checkpoint})

    assert report.integrity.verdict == "failed"
    assert "another log" in (report.integrity.reason or "")


def cut_at_every_checkpoint(directory: Path) -> list[Lines]:
    lines = read(directory)
    return [lines[: path + 1] for path in paths(lines, CHECKPOINT_PREFIX)[:-1]]


def test_cut_tail_without_a_head_is_said_to_be_possible(tmp_path: Path):
    write_log(tmp_path)
    for lines in cut_at_every_checkpoint(tmp_path):
        write(tmp_path, lines)
        report = verified(tmp_path)

        assert report.integrity.verdict == "signed"
        assert report.completeness.anchor is None
        assert not report.completeness.is_whole


def test_cut_tail_with_a_head_fails(tmp_path: Path):
    write_log(tmp_path)
    checkpoint = verified(tmp_path).checkpoint
    assert checkpoint is not None
    for lines in cut_at_every_checkpoint(tmp_path):
        write(tmp_path, lines)
        report = verified(tmp_path, known={"kept": checkpoint})

        assert report.integrity.verdict == "failed"
        assert "cut" in (report.integrity.reason or "")


def test_cut_and_continue_with_a_head_fails(tmp_path: Path):
    """Whoever restores a backup, or cuts, and then lets the real writer go on."""
    write_log(tmp_path)
    checkpoint = verified(tmp_path).checkpoint
    assert checkpoint is not None
    lines = read(tmp_path)
    write(tmp_path, lines[: paths(lines, CHECKPOINT_PREFIX)[2] + 1])
    write_log(tmp_path, runs=["run-z"], calls=4, seed="later")
    assert verified(tmp_path).integrity.verdict == "signed"

    report = verified(tmp_path, known={"kept": checkpoint})

    assert report.integrity.verdict == "failed"
    assert "rewritten" in (report.integrity.reason or "")


def test_an_honest_continuation_extends_the_head(tmp_path: Path):
    write_log(tmp_path)
    first = verified(tmp_path)
    assert first.checkpoint is not None
    write_log(tmp_path, runs=["run-b"], seed="later")

    report = verified(tmp_path, known={"kept": first.checkpoint})

    assert report.integrity.verdict == "signed"
    assert report.completeness.anchor is not None
    assert report.completeness.anchor.size == first.integrity.size


def test_wrong_key_fails_and_no_key_never_says_signed(tmp_path: Path):
    write_log(tmp_path)

    assert verify_trace(tmp_path, key=FOREIGN.public).integrity.verdict == "failed"
    assert verify_trace(tmp_path).integrity.verdict == "consistent"


def test_log_made_anew_by_an_attacker_is_only_consistent(tmp_path: Path):
    write_log(tmp_path, signer=FOREIGN)

    assert verify_trace(tmp_path).integrity.verdict == "consistent"
    assert verified(tmp_path).integrity.verdict == "failed"


def test_log_made_anew_does_not_fit_a_kept_head(tmp_path: Path):
    """Also when nobody pinned a key."""
    write_log(tmp_path / "real")
    checkpoint = verified(tmp_path / "real").checkpoint
    assert checkpoint is not None
    write_log(tmp_path / "fake", signer=FOREIGN)

    report = verify_trace(tmp_path / "fake", known={"kept": checkpoint})

    assert report.integrity.verdict == "failed"


def test_left_out_contents_are_counted_and_break_no_proof(tmp_path: Path):
    write_log(tmp_path)
    lines = read(tmp_path)
    write(tmp_path, [line for line in lines if not line.startswith(CONTENT_PREFIX)])

    report = verified(tmp_path)

    assert report.integrity.verdict == "signed"
    assert report.completeness.contents.absent == len(paths(lines, CONTENT_PREFIX))
    assert not report.completeness.is_whole


def test_erased_key_leaves_the_proofs_standing(tmp_path: Path):
    write_log(tmp_path)
    (tmp_path / "vault.keys").write_bytes(b"")

    report = verified(tmp_path, vault=VaultReader(tmp_path, KEK))

    assert report.integrity.verdict == "signed"
    assert report.completeness.contents.erased == 8
    assert report.completeness.contents.checked == 0
    [finding] = report.completeness.findings
    assert "no entry says that it was erased" in finding.text
    assert not report.completeness.is_whole


@pytest.mark.parametrize("of", [("run", "run-b"), ("kind", "results")], ids=["run", "kind"])
def test_a_key_swapped_for_another_run_s_or_kind_s_is_found(
    tmp_path: Path, of: tuple[str, str]
):
    write_log(tmp_path, runs=["run-a", "run-b"])
    lines = (tmp_path / "vault.keys").read_bytes().splitlines()
    keys = [orjson.loads(line) for line in lines]
    one = keys[0]
    two = next(each for each in keys if each == {**each, "kind": one["kind"], **dict([of])})
    one["wrapped"], two["wrapped"] = two["wrapped"], one["wrapped"]
    (tmp_path / "vault.keys").write_bytes(
        b"".join(orjson.dumps(key, option=orjson.OPT_SORT_KEYS) + b"\n" for key in keys)
    )

    assert verified(tmp_path, vault=VaultReader(tmp_path, KEK)).integrity.verdict == "failed"


def test_wrong_vault_key_opens_nothing(tmp_path: Path):
    write_log(tmp_path)

    report = verified(tmp_path, vault=VaultReader(tmp_path, bytes(32)))

    assert report.completeness.contents.checked == 0
    assert report.completeness.contents.erased == 0
    assert report.completeness.contents.locked == 8
    assert "another vault key" in report.completeness.findings[0].text
    assert not report.completeness.is_whole


async def test_second_writer_is_refused(tmp_path: Path):
    options = {"name": NAME, "signer": SIGNER, "kek": KEK, "config": CONFIG}
    async with open_log(tmp_path, **options) as log:  # type: ignore[arg-type]
        with pytest.raises(TraceWriteError, match="another process"):
            async with open_log(tmp_path, **options):  # type: ignore[arg-type]
                pass
        await record_run(log, "run-a", 1)

    assert verified(tmp_path).completeness.is_whole


async def test_another_key_cannot_continue_the_log(tmp_path: Path):
    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG):
        pass

    with pytest.raises(TraceIntegrityError, match="not continued"):
        async with open_log(tmp_path, name=NAME, signer=FOREIGN, kek=KEK, config=CONFIG):
            pass


def test_same_name_never_means_same_log(tmp_path: Path):
    write_log(tmp_path / "one", seed="one")
    write_log(tmp_path / "two", seed="two")

    one, two = verified(tmp_path / "one"), verified(tmp_path / "two")

    assert one.integrity.origin != two.integrity.origin


@dataclass(frozen=True)
class Hostile:
    id: str
    line: bytes


HOSTILE = [
    Hostile("deep nesting", b'{"body":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    Hostile("huge line", b'{"body":"' + b"x" * 100_000 + b'"}'),
    Hostile("lone surrogate", b'{"body":"\\ud800"}'),
    Hostile("bytes", bytes(range(1, 10))),
    Hostile("checkpoint of nonsense", b'{"checkpoint":"x"}'),
    Hostile("checkpoint of another type", b'{"checkpoint":1}'),
    Hostile("entry without members", b'{"body":{}}'),
    Hostile("content before any entry", b'{"content":"a","key":"b","sealed":"c"}'),
]


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.id)
@pytest.mark.parametrize("at", [0, 7])
def test_hostile_line_fails_integrity_and_nothing_else(tmp_path: Path, case: Hostile, at: int):
    write_log(tmp_path)
    lines = read(tmp_path)
    write(tmp_path, [*lines[:at], case.line, *lines[at:]])

    assert verified(tmp_path).integrity.verdict == "failed"
    assert verify_trace(tmp_path, key=None).integrity.verdict == "failed"


def test_seeded_and_ticking_make_the_same_log(tmp_path: Path):
    """What the other tests stand on."""
    assert seeded()(4) == seeded()(4)
    assert ticking()() == ticking()()
    write_log(tmp_path / "one")
    write_log(tmp_path / "two")
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert [
        line for line in one if b'"log.open"' not in line and b"checkpoint" not in line
    ] == [line for line in two if b'"log.open"' not in line and b"checkpoint" not in line]


@pytest.mark.parametrize("char", ["\x85", "\u2028", "\u2029", "\x0b", "\x1c"])
@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_odd_line_ends_in_a_signature_line_are_a_broken_checkpoint(
    tmp_path: Path, char: str, which: int
):
    write_log(tmp_path)
    kept = verified(tmp_path).checkpoint
    assert kept is not None
    lines = read(tmp_path)
    at = paths(lines, CHECKPOINT_PREFIX)[which]
    note = orjson.loads(lines[at])["checkpoint"] + f"\u2014 w{char}x AAAA\n"
    lines[at] = orjson.dumps({"checkpoint": note})
    write(tmp_path, lines)

    report = verified(tmp_path, known={"kept": kept})
    assert report.integrity.verdict == "failed"
    assert verified(tmp_path, known={"kept": note}).integrity.verdict == "failed"


@pytest.mark.parametrize("number", [1, 10**19 + 7, 10**20 - 1])
@pytest.mark.parametrize("data", [b"", bytes(4096)], ids=["empty", "zeros"])
def test_an_empty_segment_that_no_entry_can_begin_is_found(
    tmp_path: Path, number: int, data: bytes
):
    """Between the entries or behind them; one that a writer has just begun is in order."""
    write_log(tmp_path)
    report = verified(tmp_path)
    segment_path(tmp_path, report.integrity.size).write_bytes(data)
    assert verified(tmp_path).completeness.findings == ()
    assert second_verifier.verify(tmp_path) == []

    (stray := segment_path(tmp_path, number)).write_bytes(data)

    (finding,) = verified(tmp_path).completeness.findings
    assert stray.name in finding.text
    with pytest.raises(second_verifier.DoesNotFitError):
        second_verifier.verify(tmp_path)
