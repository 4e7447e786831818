"""Each attack on a trace, by what the verifier has from outside: the table of the page, asserted.

Files only: the attacker writes the log's files and has no key. Key held: they sign as the broker.
The broker's own checkpoint is what a broker that opens the log compares it with.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson
import pytest
from anyio import to_thread
from logs import CONFIG, KEK, NAME, SIGNER, tree_root, write_log

from permissions.errors import TraceError
from permissions.signing.keys import memory_signer
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.encoder import CHECKPOINT_PREFIX, CONTENT_PREFIX, ENTRY_PREFIX
from permissions.trace.log import open_log
from permissions.trace.merkle import leaf_hash
from permissions.trace.snapshot import SNAPSHOT_FILE
from permissions.trace.store import segment_path
from permissions.trace.vault import KEYS_FILE, VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.signing.keys import Signer

Lines = list[bytes]
OTHER = memory_signer(b"o" * 32)
Seen = Literal["failed", "finding", "unseen", "no log"]
"""Integrity fails; it is a finding of completeness; nothing tells; there is nothing to verify."""
Opened = Literal["refused", "goes on"]
"""What a broker does that finds the log so. It looks at what came after its snapshot alone."""


@dataclass(frozen=True)
class Row:
    """What is seen of an attack: with nothing from outside, with a kept checkpoint, at opening."""

    id: str
    attack: Callable[[Path], None]
    alone: Seen
    kept: Seen
    own: Opened


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


def inserted(lines: Lines) -> Lines:
    number = at(lines, ENTRY_PREFIX)[4]
    lines.insert(number, lines[number].replace(b'"call"', b'"call" ', 1))
    return lines


def duplicated(lines: Lines) -> Lines:
    number = at(lines, ENTRY_PREFIX)[4]
    lines.insert(number, lines[number])
    return lines


def garbled(lines: Lines) -> Lines:
    number = at(lines, CHECKPOINT_PREFIX)[-1]
    lines[number] = lines[number][:40] + b"garbled" + lines[number][47:]
    return lines


def walking_back(lines: Lines) -> Lines:
    """Each entry a little less than a second before the one before it."""
    for steps, number in enumerate(at(lines, ENTRY_PREFIX)[3:], 1):
        document = orjson.loads(lines[number])
        document["time"] -= steps * 900_000
        lines[number] = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return lines


def segment_gone(log: Path) -> None:
    segment_path(log, 0).unlink()


def segment_emptied(log: Path) -> None:
    segment_path(log, 0).write_bytes(b"")


def signed_as(signer: Signer, origin: str | None = None) -> Callable[[Path], None]:
    """One checkpoint over all of it, by another key or under another name."""

    def attack(log: Path) -> None:
        lines = lines_of(log)
        note = orjson.loads(lines[at(lines, CHECKPOINT_PREFIX)[-1]])["checkpoint"]
        kept = [line for line in lines if not line.startswith(CHECKPOINT_PREFIX)]
        leaves = [leaf_hash(line) for line in kept if line.startswith(ENTRY_PREFIX)]
        signing = CheckpointSigner(origin or note.split("\n")[0], signer)
        put(
            log,
            [*kept, orjson.dumps({"checkpoint": signing.sign(len(leaves), tree_root(leaves))})],
        )

    return attack


def split_view(log: Path) -> None:
    """Another, longer end of the same log, signed by the same key."""
    put(log, cut_at_checkpoint(lines_of(log)))
    (log / SNAPSHOT_FILE).unlink()
    write_log(log, seed="split", runs=["run-s", "run-t", "run-u"])


ROWS = [
    Row(
        "edit a body",
        edited(replaced(b"intent", b"read", b"rite")),
        "failed",
        "failed",
        "goes on",
    ),
    Row("edit a time", edited(backdated), "failed", "failed", "goes on"),
    Row(
        "edit a sealed byte", edited(flipped(CONTENT_PREFIX, 2)), "failed", "failed", "goes on"
    ),
    Row("drop an entry", edited(without(ENTRY_PREFIX, 4)), "failed", "failed", "refused"),
    Row("reorder entries", edited(swapped(ENTRY_PREFIX)), "failed", "failed", "goes on"),
    Row("drop a batch", edited(drop_a_batch), "failed", "failed", "refused"),
    Row("swap sealed lines", edited(swapped(CONTENT_PREFIX)), "failed", "failed", "goes on"),
    Row(
        "leave a sealed line out",
        edited(without(CONTENT_PREFIX, 2)),
        "finding",
        "finding",
        "goes on",
    ),
    Row(
        "flip a signature", edited(flipped(CHECKPOINT_PREFIX, 2)), "failed", "failed", "goes on"
    ),
    Row("splice two logs", spliced, "failed", "failed", "goes on"),
    Row("cut in a line", cut_in_a_line, "finding", "failed", "refused"),
    Row("cut at a checkpoint", edited(cut_at_checkpoint), "finding", "failed", "refused"),
    Row("old backup, continued", old_backup_continued, "unseen", "failed", "refused"),
    Row("another log of the key", another_log_of_the_key, "unseen", "failed", "refused"),
    Row("run keys gone", keys_gone, "finding", "finding", "refused"),
    Row("run keys swapped", run_keys_swapped, "failed", "failed", "refused"),
    Row(
        "key held: relabel a permit",
        signed_again(replaced(b"decision", b'"permitted":true', b'"permitted":false')),
        "finding",
        "failed",
        "refused",
    ),
    Row(
        "key held: change the rules",
        signed_again(replaced(b"decision", b'["read"]', b'["rite"]')),
        "finding",
        "failed",
        "refused",
    ),
    Row("key held: backdate", signed_again(backdated), "finding", "failed", "refused"),
    Row(
        "key held: rewrite what nothing else says",
        signed_again(replaced(b"outcome", b'"status":"ok"', b'"status":"no"')),
        "unseen",
        "failed",
        "refused",
    ),
    Row(
        "key held: cut and sign",
        signed_again(lambda each: each[:-4]),
        "finding",
        "failed",
        "refused",
    ),
    Row("insert an entry", edited(inserted), "failed", "failed", "refused"),
    Row("duplicate an entry", edited(duplicated), "failed", "failed", "refused"),
    Row("garble the last checkpoint", edited(garbled), "finding", "failed", "refused"),
    Row("segment gone", segment_gone, "no log", "no log", "refused"),
    Row("segment emptied", segment_emptied, "finding", "failed", "refused"),
    Row("everything gone", shutil.rmtree, "no log", "no log", "refused"),
    Row("sign with another key", signed_as(OTHER), "failed", "failed", "refused"),
    Row(
        "key held: another origin",
        signed_as(SIGNER, "elsewhere.example/log"),
        "failed",
        "failed",
        "refused",
    ),
    Row("key held: split view", split_view, "unseen", "failed", "refused"),
    Row(
        "key held: walk the clock back",
        signed_again(walking_back),
        "finding",
        "failed",
        "refused",
    ),
    Row(
        "key held: duplicate an entry", signed_again(duplicated), "failed", "failed", "refused"
    ),
]


def test_the_page_has_this_very_table() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/trace-format.md").read_text()
    table = page.partition("| attack | nothing from outside | a checkpoint kept outside |")[
        2
    ].partition("\n\n")[0]
    cells = [
        tuple(part.strip() for part in line[1:-1].split("|")) for line in table.split("\n")[2:]
    ]

    assert cells == [(row.id, row.alone, row.kept, row.own) for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
@pytest.mark.parametrize("anchor", ["alone", "kept"])
def test_each_attack_is_seen_as_the_table_says(tmp_path: Path, row: Row, anchor: str) -> None:
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"])
    head = verify_trace(log, key=SIGNER.public).checkpoint
    assert head is not None

    row.attack(log)

    assert seen_of(log, {"kept": head} if anchor == "kept" else {}) == getattr(row, anchor)


def seen_of(log: Path, known: dict[str, str]) -> Seen:
    try:
        report = verify_trace(log, key=SIGNER.public, known=known, vault=VaultReader(log, KEK))
    except TraceError:
        return "no log"
    if not known:
        assert report.lacks(["anchored"]) == ["anchored"]
    if not report.is_intact:
        return "failed"
    return "unseen" if report.completeness.is_whole else "finding"


class Remembered:
    """The broker's own checkpoint."""

    source = "a test"
    is_as_old = True

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    async def last(self) -> str | None:
        return self.checkpoint

    async def keep(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_a_broker_that_opens_it_does_what_the_table_says(
    tmp_path: Path, row: Row
) -> None:
    log = tmp_path / "log"
    await to_thread.run_sync(lambda: write_log(log, runs=["run-a", "run-b"]))
    head = verify_trace(log, key=SIGNER.public).checkpoint
    assert head is not None
    await to_thread.run_sync(row.attack, log)

    opened: Opened = "goes on"
    try:
        memories = [Remembered(head)]
        async with open_log(
            log, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG, memories=memories
        ):
            pass
    except TraceError:
        opened = "refused"

    assert opened == row.own


@pytest.mark.parametrize(
    "row", [each for each in ROWS if each.alone == "failed"], ids=lambda r: r.id
)
def test_what_fails_needs_no_key_to_be_seen(tmp_path: Path, row: Row) -> None:
    """Nor the vault's; only swapped keys of contents do."""
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"])

    row.attack(log)

    assert verify_trace(log).is_intact == (row.id == "run keys swapped")
