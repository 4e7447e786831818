"""Each attack on a trace, by what the verifier has from outside: the table of the page, asserted.

Files only: the attacker writes the log's files and has no key. Key held: they sign as the broker.
The broker's own checkpoint is what a broker that opens the log compares it with; the witness
cosigned the log as it was, and is asked for that, and to cosign what is there now.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, NamedTuple

import anyio
import orjson
import pytest
from logs import CONFIG, KEK, NAME, SIGNER, tree_root, write_log

from permissions.errors import TraceError
from permissions.signing.keys import memory_signer
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.checkpoint_signer import CheckpointSigner, KeyChange
from permissions.trace.encoder import CHECKPOINT_PREFIX, CONTENT_PREFIX, ENTRY_PREFIX
from permissions.trace.key_lines import KEYS_FILE
from permissions.trace.log import open_log
from permissions.trace.merkle import leaf_hash
from permissions.trace.note_keys import COSIGNATURE, ED25519, NoteKey, NoteSigner
from permissions.trace.proof import last_checkpoint
from permissions.trace.snapshot import SNAPSHOT_FILE
from permissions.trace.store import segment_path
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from permissions.trace.witnesses import tree_from
from permissions.trace.witnessing import AddCheckpoint
from permissions.witness.judge import Judge, WitnessState

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.signing.keys import Signer

Lines = list[bytes]
OTHER = memory_signer(b"o" * 32)
COSIGNER = NoteSigner("witness.example/one", COSIGNATURE, memory_signer(b"w" * 32))
Seen = Literal["failed", "finding", "unseen", "no log"]
"""Integrity fails; it is a finding of completeness; nothing tells; there is nothing to verify."""
Opened = Literal["refused", "goes on"]
"""What a broker does that finds the log so. It looks at what came after its snapshot alone."""
Cosigned = Literal["cosigned", "refused", "nothing"]
"""What a witness says that cosigned the log before, when it is asked to cosign what is there now;
nothing, when no checkpoint is there to ask with."""


class Row(NamedTuple):
    """What is seen of an attack: alone, with a kept checkpoint, at opening, and of a witness."""

    alone: Seen
    kept: Seen
    own: Opened
    witness: Seen
    cosigned: Cosigned


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
    keys = [*map(orjson.loads, (log / KEYS_FILE).read_bytes().splitlines())]
    one, two = (key for key in keys if key["kind"] == "arguments")
    one["wrapped"], two["wrapped"] = two["wrapped"], one["wrapped"]
    lines = (orjson.dumps(each, option=orjson.OPT_SORT_KEYS) + b"\n" for each in keys)
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


def spliced(lines: Lines) -> Lines:
    """An entry of another log in the place of one of this."""
    with TemporaryDirectory() as made:
        write_log(Path(made), seed="other", runs=["run-o"])
        others = lines_of(Path(made))
    lines[at(lines, ENTRY_PREFIX)[3]] = others[at(others, ENTRY_PREFIX)[3]]
    return lines


def rotated_to_their_own(log: Path) -> None:
    """Who holds the key names one of their own, and goes on under that."""
    (log / SNAPSHOT_FILE).unlink()

    async def main() -> None:
        async with open_log(log, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as opened:
            await opened.change_key(KeyChange("rotate", OTHER))

    anyio.run(main)


def numbered(lines: Lines) -> Lines:
    """Each entry with the number it now has."""
    for index, number in enumerate(at(lines, ENTRY_PREFIX)):
        document = orjson.loads(lines[number])
        document["index"] = index
        lines[number] = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return lines


def dropped_and_numbered(lines: Lines) -> Lines:
    """A decision and its sealed lines."""
    entries = at(lines, ENTRY_PREFIX)
    number = next(n for n in entries if b'"type":"decision"' in lines[n])
    after = entries[entries.index(number) + 1]
    return numbered(lines[:number] + lines[after:])


def inserted_and_numbered(lines: Lines) -> Lines:
    """A whole denied call that never was."""
    number = next(n for n in at(lines, ENTRY_PREFIX) if b'"type":"run.end"' in lines[n])
    run = orjson.loads(lines[number])["run"]
    empty = {"call": "call-x", "contents": {}, "index": 0, "run": run, "v": 2}
    time = orjson.loads(lines[number])["time"]
    forged = [
        {**empty, "body": {"tool": "read"}, "time": time, "type": "intent"},
        {**empty, "body": {"kind": "denied"}, "time": time, "type": "denied"},
    ]
    said = [orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in forged]
    return numbered([*lines[:number], *said, *lines[number:]])


def sealed_and_named(lines: Lines) -> Lines:
    """A sealed line with one bit flipped, and its entry naming that."""
    number = at(lines, CONTENT_PREFIX)[2]
    old = lines[number]
    flipped_line = flipped(CONTENT_PREFIX, 2)(lines)[number]
    named, now = (base64.b64encode(hashlib.sha256(e).digest()) for e in (old, flipped_line))
    return [line.replace(named, now) for line in lines]


ATTACKS: dict[str, Callable[[Path], None]] = {
    "edit a body": edited(replaced(b"intent", b"read", b"rite")),
    "edit a time": edited(backdated),
    "edit a sealed byte": edited(flipped(CONTENT_PREFIX, 2)),
    "drop an entry": edited(without(ENTRY_PREFIX, 4)),
    "insert an entry": edited(inserted),
    "duplicate an entry": edited(duplicated),
    "reorder entries": edited(swapped(ENTRY_PREFIX)),
    "drop a batch": edited(drop_a_batch),
    "swap sealed lines": edited(swapped(CONTENT_PREFIX)),
    "leave a sealed line out": edited(without(CONTENT_PREFIX, 2)),
    "splice two logs": edited(spliced),
    "flip a signature": edited(flipped(CHECKPOINT_PREFIX, 2)),
    "garble the last checkpoint": edited(garbled),
    "cut in a line": cut_in_a_line,
    "cut at a checkpoint": edited(cut_at_checkpoint),
    "segment gone": segment_gone,
    "segment emptied": segment_emptied,
    "everything gone": shutil.rmtree,
    "run keys gone": keys_gone,
    "run keys swapped": run_keys_swapped,
    "sign with another key": signed_as(OTHER),
    "key held: edit a body": signed_again(replaced(b"intent", b"read", b"rite")),
    "key held: edit a time": signed_again(backdated),
    "key held: edit a sealed byte": signed_again(sealed_and_named),
    "key held: drop an entry": signed_again(dropped_and_numbered),
    "key held: insert an entry": signed_again(inserted_and_numbered),
    "key held: duplicate an entry": signed_again(duplicated),
    "key held: reorder entries": signed_again(swapped(ENTRY_PREFIX)),
    "key held: drop a batch": signed_again(drop_a_batch),
    "key held: swap sealed lines": signed_again(swapped(CONTENT_PREFIX)),
    "key held: leave a sealed line out": signed_again(without(CONTENT_PREFIX, 2)),
    "key held: splice two logs": signed_again(spliced),
    "key held: cut and sign": signed_again(lambda each: each[:-4]),
    "key held: relabel a permit": signed_again(
        replaced(b"decision", b'"permitted":true', b'"permitted":false')
    ),
    "key held: change the rules": signed_again(replaced(b"decision", b'["read"]', b'["rite"]')),
    "key held: rewrite what nothing else says": signed_again(
        replaced(b"outcome", b'"status":"ok"', b'"status":"no"')
    ),
    "key held: walk the clock back": signed_again(walking_back),
    "key held: another origin": signed_as(SIGNER, "elsewhere.example/log"),
    "key held: old backup, continued": old_backup_continued,
    "key held: another log of the key": another_log_of_the_key,
    "key held: split view": split_view,
    "key held: rotate to their own": rotated_to_their_own,
}


ROWS: dict[str, Row] = {
    "edit a body": Row("failed", "failed", "goes on", "failed", "cosigned"),
    "edit a time": Row("failed", "failed", "goes on", "failed", "cosigned"),
    "edit a sealed byte": Row("failed", "failed", "goes on", "failed", "cosigned"),
    "drop an entry": Row("failed", "failed", "refused", "failed", "cosigned"),
    "insert an entry": Row("failed", "failed", "refused", "failed", "cosigned"),
    "duplicate an entry": Row("failed", "failed", "refused", "failed", "cosigned"),
    "reorder entries": Row("failed", "failed", "goes on", "failed", "cosigned"),
    "drop a batch": Row("failed", "failed", "refused", "failed", "cosigned"),
    "swap sealed lines": Row("failed", "failed", "goes on", "failed", "cosigned"),
    "leave a sealed line out": Row("finding", "finding", "goes on", "finding", "cosigned"),
    "splice two logs": Row("failed", "failed", "goes on", "failed", "cosigned"),
    "flip a signature": Row("failed", "failed", "goes on", "failed", "cosigned"),
    "garble the last checkpoint": Row("finding", "failed", "refused", "failed", "nothing"),
    "cut in a line": Row("finding", "failed", "refused", "failed", "refused"),
    "cut at a checkpoint": Row("finding", "failed", "refused", "failed", "refused"),
    "segment gone": Row("no log", "no log", "refused", "no log", "nothing"),
    "segment emptied": Row("finding", "failed", "refused", "failed", "nothing"),
    "everything gone": Row("no log", "no log", "refused", "no log", "nothing"),
    "run keys gone": Row("finding", "finding", "refused", "finding", "cosigned"),
    "run keys swapped": Row("failed", "failed", "refused", "failed", "cosigned"),
    "sign with another key": Row("failed", "failed", "refused", "failed", "refused"),
    "key held: edit a body": Row("unseen", "failed", "refused", "failed", "refused"),
    "key held: edit a time": Row("finding", "failed", "refused", "failed", "refused"),
    "key held: edit a sealed byte": Row("failed", "failed", "refused", "failed", "refused"),
    "key held: drop an entry": Row("finding", "failed", "refused", "failed", "refused"),
    "key held: insert an entry": Row("finding", "failed", "refused", "failed", "refused"),
    "key held: duplicate an entry": Row("failed", "failed", "refused", "failed", "refused"),
    "key held: reorder entries": Row("failed", "failed", "refused", "failed", "refused"),
    "key held: drop a batch": Row("failed", "failed", "refused", "failed", "refused"),
    "key held: swap sealed lines": Row("failed", "failed", "refused", "failed", "cosigned"),
    "key held: leave a sealed line out": Row(
        "finding", "finding", "goes on", "finding", "cosigned"
    ),
    "key held: splice two logs": Row("failed", "failed", "refused", "failed", "refused"),
    "key held: cut and sign": Row("finding", "failed", "refused", "failed", "refused"),
    "key held: relabel a permit": Row("finding", "failed", "refused", "failed", "refused"),
    "key held: change the rules": Row("finding", "failed", "refused", "failed", "refused"),
    "key held: rewrite what nothing else says": Row(
        "unseen", "failed", "refused", "failed", "refused"
    ),
    "key held: walk the clock back": Row("finding", "failed", "refused", "failed", "refused"),
    "key held: another origin": Row("failed", "failed", "refused", "failed", "refused"),
    "key held: old backup, continued": Row("unseen", "failed", "refused", "failed", "refused"),
    "key held: another log of the key": Row("unseen", "failed", "refused", "failed", "refused"),
    "key held: split view": Row("unseen", "failed", "refused", "failed", "refused"),
    "key held: rotate to their own": Row("unseen", "unseen", "refused", "unseen", "refused"),
}


def test_the_page_has_this_very_table() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/trace-format.md").read_text()
    table = page.partition("| attack | nothing from outside |")[2].partition("\n\n")[0]
    cells = [
        tuple(part.strip() for part in line[1:-1].split("|")) for line in table.split("\n")[2:]
    ]

    assert cells == [(name, *row) for name, row in ROWS.items()]
    assert ROWS.keys() == ATTACKS.keys()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A log of two runs, and its last checkpoint."""
    log = tmp_path_factory.mktemp("matrix") / "log"
    write_log(log, runs=["run-a", "run-b"])
    head = verify_trace(log, key=SIGNER.public).checkpoint
    assert head is not None
    return log, head


def attacked(written: tuple[Path, str], folder: Path, name: str) -> Path:
    shutil.copytree(written[0], folder / "log")
    ATTACKS[name](folder / "log")
    return folder / "log"


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_is_seen_as_the_table_says(
    written: tuple[Path, str], tmp_path: Path, name: str
) -> None:
    head = written[1]
    checkpoint = parse_checkpoint(head)
    key = NoteKey(checkpoint.origin, ED25519, SIGNER.public)
    state = WitnessState(tmp_path / "witness")
    judge = Judge(state, [COSIGNER], [key])
    assert judge.add_checkpoint(AddCheckpoint(0, (), head).text().encode()).status == 200

    log = attacked(written, tmp_path, name)

    digest = hashlib.sha256(checkpoint.origin.encode()).hexdigest()
    theirs = judge.checkpoint_of(digest).text
    assert (
        seen_of(log, {}),
        seen_of(log, {"kept": head}),
        opened_by_a_broker(tmp_path, log, head),
        seen_of(log, {"the witness's": theirs}),
        cosigned_by(judge, log, checkpoint.size),
    ) == ROWS[name]
    state.close()


def seen_of(log: Path, known: dict[str, str]) -> Seen:
    asked = [COSIGNER.key] if "the witness's" in known else []
    vault = VaultReader(log, KEK)
    try:
        report = verify_trace(log, key=SIGNER.public, known=known, vault=vault, witnesses=asked)
    except TraceError:
        return "no log"
    if not known:
        assert report.lacks(["anchored"]) == ["anchored"]
    if not report.is_intact:
        return "failed"
    assert report.lacks(["witnessed"]) == ([] if asked else ["witnessed"])
    return "unseen" if report.completeness.is_whole else "finding"


def cosigned_by(judge: Judge, log: Path, size: int) -> Cosigned:
    """What the witness answers to one who knows how far it went, and proves what can be proven."""
    try:
        note = last_checkpoint(log)
        new = parse_checkpoint(note).size
    except TraceError:
        return "nothing"
    try:
        proof = tree_from(log, size, new).proof(size, new)
    except TraceError:
        proof = []  # what is left of the log proves nothing
    asked = AddCheckpoint(min(size, new), tuple(proof), note)
    answer = judge.add_checkpoint(asked.text().encode())
    return "cosigned" if answer.status == 200 else "refused"


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


def opened_by_a_broker(folder: Path, log: Path, head: str) -> Opened:
    """Of a copy, since it may write."""

    async def main() -> None:
        memories = [Remembered(head)]
        async with open_log(
            copy, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG, memories=memories
        ):
            pass

    copy = folder / "opened"
    if log.exists():
        shutil.copytree(log, copy)
    try:
        anyio.run(main)
    except TraceError:
        return "refused"
    return "goes on"


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.alone == "failed"])
def test_what_fails_needs_no_key_to_be_seen(
    written: tuple[Path, str], tmp_path: Path, name: str
) -> None:
    """Nor the vault's; only contents that do not open with it do."""
    log = attacked(written, tmp_path, name)

    sealed = {"run keys swapped", "key held: edit a sealed byte"}
    assert verify_trace(log).is_intact == (name in sealed)
