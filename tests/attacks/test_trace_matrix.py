"""Each attack on a trace, by what the verifier has from outside: the table of the page, asserted.

Files only: the attacker writes the log's files and has no key. Key held: they sign as the broker.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson
import pytest
from logs import KEK, SIGNER, tree_root, write_log

from permissions.trace.checkpoint import CheckpointSigner
from permissions.trace.encoder import CHECKPOINT_PREFIX, CONTENT_PREFIX, ENTRY_PREFIX
from permissions.trace.merkle import leaf_hash
from permissions.trace.snapshot import SNAPSHOT_FILE
from permissions.trace.store import segment_path
from permissions.trace.vault import KEYS_FILE, VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable

Lines = list[bytes]
Seen = Literal["failed", "finding", "unseen"]
"""Integrity fails; it is a finding of completeness; nothing tells."""


@dataclass(frozen=True)
class Row:
    """What is seen of an attack without anything from outside, and with a kept checkpoint."""

    id: str
    attack: Callable[[Path], None]
    alone: Seen
    kept: Seen


def lines_of(log: Path) -> Lines:
    return segment_path(log, 0).read_bytes().splitlines()


def put(log: Path, lines: Lines) -> None:
    segment_path(log, 0).write_bytes(b"".join(line + b"\n" for line in lines))


def at(lines: Lines, prefix: bytes) -> list[int]:
    return [number for number, line in enumerate(lines) if line.startswith(prefix)]


def edited(change: Callable[[Lines], Lines]) -> Callable[[Path], None]:
    return lambda log: put(log, change(lines_of(log)))


def signed_again(change: Callable[[Lines], Lines]) -> Callable[[Path], None]:
    """Who holds the key alters lines, and signs one checkpoint over all of it."""

    def attack(log: Path) -> None:
        lines = lines_of(log)
        note = orjson.loads(lines[at(lines, CHECKPOINT_PREFIX)[-1]])["checkpoint"]
        kept = [line for line in change(lines) if not line.startswith(CHECKPOINT_PREFIX)]
        leaves = [leaf_hash(line) for line in kept if line.startswith(ENTRY_PREFIX)]
        signer = CheckpointSigner(note.split("\n")[0], SIGNER)
        signed = signer.sign(len(leaves), tree_root(leaves))
        put(log, [*kept, orjson.dumps({"checkpoint": signed})])

    return attack


def replaced(kind: bytes, old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        number = next(n for n in at(lines, ENTRY_PREFIX) if b'"type":"%b"' % kind in lines[n])
        assert old in lines[number]
        lines[number] = lines[number].replace(old, new, 1)
        return lines

    return change


def backdated(lines: Lines) -> Lines:
    number = at(lines, ENTRY_PREFIX)[4]
    document = orjson.loads(lines[number])
    document["time"] -= 3_600_000_000
    lines[number] = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return lines


def without(prefix: bytes, number: int) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        del lines[at(lines, prefix)[number]]
        return lines

    return change


def flipped(prefix: bytes, number: int) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        line = bytearray(lines[at(lines, prefix)[number]])
        line[len(line) // 2] ^= 1
        lines[at(lines, prefix)[number]] = bytes(line)
        return lines

    return change


def swapped(prefix: bytes) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        one, other = at(lines, prefix)[3:5]
        lines[one], lines[other] = lines[other], lines[one]
        return lines

    return change


def cut_at_checkpoint(lines: Lines) -> Lines:
    return lines[: at(lines, CHECKPOINT_PREFIX)[-2] + 1]


def cut_in_a_line(log: Path) -> None:
    path = segment_path(log, 0)
    path.write_bytes(path.read_bytes()[:-50])


def drop_a_batch(lines: Lines) -> Lines:
    first, second = at(lines, CHECKPOINT_PREFIX)[1:3]
    return lines[: first + 1] + lines[second + 1 :]


def spliced(log: Path) -> None:
    write_log(log.parent / "other", seed="other", runs=["run-o"])
    lines, others = lines_of(log), lines_of(log.parent / "other")
    lines[at(lines, ENTRY_PREFIX)[3]] = others[at(others, ENTRY_PREFIX)[3]]
    put(log, lines)


def another_log_of_the_key(log: Path) -> None:
    shutil.rmtree(log)
    write_log(log, seed="other", runs=["run-o"])


def old_backup_continued(log: Path) -> None:
    put(log, cut_at_checkpoint(lines_of(log)))
    (log / SNAPSHOT_FILE).unlink()
    write_log(log, seed="later", runs=["run-l"])


def keys_gone(log: Path) -> None:
    (log / KEYS_FILE).write_bytes(b"")


def run_keys_swapped(log: Path) -> None:
    one, two = map(orjson.loads, (log / KEYS_FILE).read_bytes().splitlines())
    one["wrapped"], two["wrapped"] = two["wrapped"], one["wrapped"]
    lines = (orjson.dumps(each, option=orjson.OPT_SORT_KEYS) + b"\n" for each in (one, two))
    (log / KEYS_FILE).write_bytes(b"".join(lines))


ROWS = [
    Row("edit a body", edited(replaced(b"intent", b"read", b"rite")), "failed", "failed"),
    Row("edit a time", edited(backdated), "failed", "failed"),
    Row("edit a sealed byte", edited(flipped(CONTENT_PREFIX, 2)), "failed", "failed"),
    Row("drop an entry", edited(without(ENTRY_PREFIX, 4)), "failed", "failed"),
    Row("reorder entries", edited(swapped(ENTRY_PREFIX)), "failed", "failed"),
    Row("drop a batch", edited(drop_a_batch), "failed", "failed"),
    Row("swap sealed lines", edited(swapped(CONTENT_PREFIX)), "failed", "failed"),
    Row("leave a sealed line out", edited(without(CONTENT_PREFIX, 2)), "finding", "finding"),
    Row("flip a signature", edited(flipped(CHECKPOINT_PREFIX, 2)), "failed", "failed"),
    Row("splice two logs", spliced, "failed", "failed"),
    Row("cut in a line", cut_in_a_line, "finding", "failed"),
    Row("cut at a checkpoint", edited(cut_at_checkpoint), "finding", "failed"),
    Row("old backup, continued", old_backup_continued, "unseen", "failed"),
    Row("another log of the key", another_log_of_the_key, "unseen", "failed"),
    Row("run keys gone", keys_gone, "finding", "finding"),
    Row("run keys swapped", run_keys_swapped, "failed", "failed"),
    Row(
        "key held: relabel a permit",
        signed_again(replaced(b"decision", b'"permitted":true', b'"permitted":false')),
        "finding",
        "failed",
    ),
    Row(
        "key held: change the rules",
        signed_again(replaced(b"decision", b'["read"]', b'["rite"]')),
        "finding",
        "failed",
    ),
    Row("key held: backdate", signed_again(backdated), "finding", "failed"),
    Row(
        "key held: rewrite what nothing else says",
        signed_again(replaced(b"outcome", b'"status":"ok"', b'"status":"no"')),
        "unseen",
        "failed",
    ),
    Row("key held: cut and sign", signed_again(lambda each: each[:-4]), "finding", "failed"),
]


def test_the_page_has_this_very_table() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/trace-format.md").read_text()
    table = page.partition("| attack | nothing from outside |")[2].partition("\n\n")[0]
    cells = [
        tuple(part.strip() for part in line[1:-1].split("|")) for line in table.split("\n")[2:]
    ]

    assert cells == [(row.id, row.alone, row.kept) for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
@pytest.mark.parametrize("anchor", ["alone", "kept"])
def test_each_attack_is_seen_as_the_table_says(tmp_path: Path, row: Row, anchor: str) -> None:
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"])
    head = verify_trace(log, key=SIGNER.public).checkpoint
    assert head is not None

    row.attack(log)

    known = {"kept": head} if anchor == "kept" else {}
    vault = VaultReader(log, KEK)
    report = verify_trace(log, key=SIGNER.public, known=known, vault=vault)
    seen = "failed" if not report.is_intact else "unseen"
    if report.is_intact and not report.completeness.is_whole:
        seen = "finding"
    assert seen == getattr(row, anchor)
    if anchor == "alone":
        assert report.lacks(["anchored"]) == ["anchored"]


@pytest.mark.parametrize(
    "row", [each for each in ROWS if each.alone == "failed"], ids=lambda r: r.id
)
def test_what_fails_needs_no_key_to_be_seen(tmp_path: Path, row: Row) -> None:
    """Nor the vault's; only swapped keys of contents do."""
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"])

    row.attack(log)

    assert verify_trace(log).is_intact == (row.id == "run keys swapped")
