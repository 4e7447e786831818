"""A log goes on under other keys, and whoever trusts the one before can follow."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import anyio
import orjson
import pytest
import second_verifier
from logs import CONFIG, FOREIGN, KEK, NAME, SIGNER, record_run, seeded, ticking, tree_root
from second_verifier import DoesNotFitError

from permissions.errors import TraceIntegrityError, TraceWriteError
from permissions.signing.keys import memory_signer
from permissions.signing.post_quantum import memory_post_quantum_signer
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.checkpoint_signer import Beside, CheckpointSigner, KeyChange
from permissions.trace.encoder import CHECKPOINT_PREFIX, ENTRY_PREFIX
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.merkle import leaf_hash
from permissions.trace.store import segment_path
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.signing.keys import PublicKey, Signer
    from permissions.trace.report import Report

SECOND = memory_signer(b"the log goes on under this key 3")
THIRD = memory_signer(b"and then under this one, 32 byte")
EPOCHS = [memory_signer(bytes([number]) * 32) for number in range(3)]
QUANTUM = memory_post_quantum_signer(b"q" * 32)


def write(
    directory: Path,
    *changes: KeyChange,
    signer: Signer = SIGNER,
    beside: Beside | None = None,
    revoked: TraceEntry | None = None,
    seed: str = "",
) -> None:
    """A closed log of a run, these changes of keys with a run after each, and the end."""

    async def main() -> None:
        async with open_log(
            directory,
            name=NAME,
            signer=signer,
            kek=KEK,
            config=CONFIG,
            clock=ticking(),
            random=seeded(seed),
            beside=beside or Beside(),
        ) as log:
            await record_run(log, f"run-{seed}", 1)
            for number, change in enumerate(changes):
                also = () if revoked is None else (revoked,)
                await log.change_key(change, reason="a test", also=also)
                await record_run(log, f"run-{seed}{number}", 1)

    anyio.run(main)


def judged(directory: Path, key: PublicKey | None) -> Report:
    """The verdict, on which the second verifier and the check of all signatures agree."""
    report = verify_trace(directory, key=key, signatures="last")
    every = verify_trace(directory, key=key, signatures="all")
    assert (report.is_intact, report.integrity.verdict) == (
        every.is_intact,
        every.integrity.verdict,
    )
    try:
        second_verifier.verify(directory, None if key is None else key.raw)
    except DoesNotFitError:
        assert not report.is_intact
    else:
        assert report.is_intact, report.integrity.reason
    return report


def test_each_key_of_the_log_pins_all_of_it_and_another_does_not(tmp_path: Path) -> None:
    write(tmp_path, KeyChange("rotate", SECOND), KeyChange("rotate", THIRD))

    for signer in (SIGNER, SECOND, THIRD):
        report = judged(tmp_path, signer.public)
        assert report.integrity.verdict == "signed"
        assert report.integrity.keyid == THIRD.keyid
    assert judged(tmp_path, FOREIGN.public).integrity.verdict == "failed"
    assert judged(tmp_path, None).integrity.verdict == "consistent"


def test_a_log_goes_on_under_the_key_in_force_alone(tmp_path: Path) -> None:
    write(tmp_path, KeyChange("rotate", SECOND))

    with pytest.raises(TraceIntegrityError, match="goes on under another key"):
        write(tmp_path, seed="old")
    write(tmp_path, signer=SECOND, seed="new")

    assert judged(tmp_path, SIGNER.public).integrity.verdict == "signed"


def test_a_log_whose_rotation_was_cut_off_opens_with_the_old_or_the_new_key(
    tmp_path: Path,
) -> None:
    """The settings still name the old one, and the new one lies beside it."""
    write(tmp_path, KeyChange("rotate", SECOND))
    write(tmp_path, beside=Beside(log=(SECOND,)), seed="later")

    write(tmp_path / "other")
    write(tmp_path / "other", beside=Beside(log=(SECOND,)), seed="never recorded")

    assert judged(tmp_path, SIGNER.public).integrity.keyid == SECOND.keyid
    assert judged(tmp_path / "other", SIGNER.public).integrity.keyid == SIGNER.keyid


def forge(directory: Path, signers: list[Signer], *, drop: int = 0) -> None:
    """Puts one checkpoint by these signers in the place of the last ones."""
    path = segment_path(directory, 0)
    lines = path.read_bytes().splitlines()
    origin = parse_checkpoint(str(orjson.loads(lines[-1])["checkpoint"])).origin
    checkpoints = [at for at, line in enumerate(lines) if line.startswith(CHECKPOINT_PREFIX)]
    kept = lines[: checkpoints[-1 - drop]]
    leaves = [leaf_hash(line) for line in kept if line.startswith(ENTRY_PREFIX)]
    first, *others = signers
    note = CheckpointSigner(origin, first).sign(
        len(leaves), tree_root(leaves), joining=[KeyChange("epoch", each) for each in others]
    )
    path.write_bytes(
        b"".join(line + b"\n" for line in [*kept, orjson.dumps({"checkpoint": note})])
    )


def change_only(directory: Path, change: KeyChange) -> None:
    """A log that ends with the change, its checkpoint the last line but the close."""

    async def main() -> None:
        async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
            await log.change_key(change)

    anyio.run(main)


@pytest.mark.parametrize(
    ("signers", "verdict"),
    [
        pytest.param([SIGNER, SECOND], "consistent", id="both"),
        pytest.param([SIGNER], "failed", id="the old one alone"),
        pytest.param([SECOND], "failed", id="the new one alone"),
        pytest.param([SIGNER, FOREIGN], "failed", id="a key that is not named"),
    ],
)
def test_a_rotation_needs_the_old_and_the_new_key(
    tmp_path: Path, signers: list[Signer], verdict: str
) -> None:
    change_only(tmp_path, KeyChange("rotate", SECOND))

    forge(tmp_path, signers, drop=1)  # the last one is over log.close

    assert judged(tmp_path, None).integrity.verdict == verdict


def test_after_a_rotation_the_old_key_signs_nothing_more(tmp_path: Path) -> None:
    write(tmp_path, KeyChange("rotate", SECOND))

    forge(tmp_path, [SIGNER])

    assert not judged(tmp_path, SIGNER.public).is_intact


def test_a_checkpoint_kept_under_the_old_key_still_anchors(tmp_path: Path) -> None:
    write(tmp_path)
    kept = verify_trace(tmp_path).checkpoint
    assert kept is not None
    write(tmp_path, KeyChange("rotate", SECOND), seed="later")

    report = verify_trace(tmp_path, key=SECOND.public, known={"kept": kept})

    assert report.anchoring == "anchored"
    write(tmp_path / "other", seed="other")
    other = verify_trace(tmp_path / "other").checkpoint
    assert other is not None
    foreign = CheckpointSigner(parse_checkpoint(kept).origin, FOREIGN).sign(
        parse_checkpoint(kept).size, parse_checkpoint(kept).root
    )
    for note in (other, foreign):
        assert not verify_trace(tmp_path, known={"kept": note}).is_intact


def test_a_stolen_key_pins_nothing_and_leaves_its_entries_in_doubt(tmp_path: Path) -> None:
    write(tmp_path)
    entries = judged(tmp_path, None).integrity.size
    since = 1_750_000_000_000_000 + 5_000  # by the clock of the test's log: its fifth entry
    stolen = {"act": "revoke", "keyid": SIGNER.keyid, "since": since}
    write(
        tmp_path,
        KeyChange("rotate", SECOND),
        revoked=TraceEntry("key", "", body=stolen),
        seed="later",
    )

    old, new = judged(tmp_path, SIGNER.public), judged(tmp_path, SECOND.public)

    assert (old.integrity.verdict, old.integrity.pin_revoked) == ("consistent", True)
    assert (new.integrity.verdict, new.integrity.pin_revoked) == ("signed", False)
    (doubt,) = new.integrity.doubtful
    assert (doubt.keyid, doubt.since, doubt.first) == (SIGNER.keyid, since, 5)
    assert entries < doubt.end < new.integrity.size
    assert new.verdict_of(4) == "signed"
    assert new.verdict_of(5) == new.verdict_of(doubt.end - 1) == "consistent"
    assert new.verdict_of(doubt.end) == "signed"


def test_epochs_and_ml_dsa_lines_are_asked_for_while_they_are_in_force(tmp_path: Path) -> None:
    write(
        tmp_path,
        KeyChange("epoch", EPOCHS[0]),
        KeyChange("post_quantum", QUANTUM),
        KeyChange("epoch", EPOCHS[1]),
        KeyChange("epoch", EPOCHS[2]),
    )
    report = judged(tmp_path, SIGNER.public)
    assert report.integrity.verdict == "signed"
    assert report.checkpoint is not None
    assert report.checkpoint.count("\n— ") == 3
    assert report.chain is not None
    assert report.chain.epochs == 3
    assert report.chain.post_quantum == QUANTUM.public

    with pytest.raises(TraceIntegrityError, match="ML-DSA-44 key of the log is not there"):
        write(tmp_path, seed="a", beside=Beside(epoch=(EPOCHS[2],)))
    with pytest.raises(TraceIntegrityError, match="another key of its epoch"):
        write(tmp_path, seed="b", beside=Beside(epoch=(EPOCHS[1],), post_quantum=QUANTUM))
    ends = [KeyChange("post_quantum", None), KeyChange("epoch", None)]
    there = Beside(epoch=(EPOCHS[2],), post_quantum=QUANTUM)
    write(tmp_path, *ends, seed="c", beside=there)

    report = judged(tmp_path, SIGNER.public)
    assert report.is_intact
    assert report.checkpoint is not None
    assert report.checkpoint.count("\n— ") == 1


def test_who_has_todays_keys_forges_nothing_of_a_past_epoch(tmp_path: Path) -> None:
    """The log's key and the live epoch's sign an altered entry from before the last change."""
    write(tmp_path, KeyChange("epoch", EPOCHS[0]), KeyChange("epoch", EPOCHS[1]))
    kept = verify_trace(tmp_path).checkpoint
    path = segment_path(tmp_path, 0)
    whole = path.read_bytes()
    lines = whole.splitlines()
    starts = [n for n, line in enumerate(lines) if b'"type":"outcome"' in line]
    notes = [n for n, line in enumerate(lines) if line.startswith(CHECKPOINT_PREFIX)]
    origin = parse_checkpoint(str(orjson.loads(lines[-1])["checkpoint"])).origin
    changes = [n for n, line in enumerate(lines) if b'"act":"epoch"' in line]

    def forged(entry: int) -> None:
        """Signs all checkpoints after the altered entry with the keys of today."""
        found = list(lines)
        found[entry] = found[entry].replace(b'"status":"ok"', b'"status":"no"')
        for at in (n for n in notes if n > entry):
            leaves = [leaf_hash(each) for each in found[:at] if each.startswith(ENTRY_PREFIX)]
            signer = CheckpointSigner(origin, SIGNER, epoch=EPOCHS[1])
            note = signer.sign(len(leaves), tree_root(leaves))
            found[at] = orjson.dumps({"checkpoint": note})
        path.write_bytes(b"".join(line + b"\n" for line in found))

    before = next(n for n in starts if changes[0] < n < changes[1])
    after = next(n for n in starts if n > changes[1])
    forged(before)
    assert not judged(tmp_path, SIGNER.public).is_intact
    forged(after)  # of the live epoch; only a checkpoint kept outside tells
    assert judged(tmp_path, SIGNER.public).is_intact
    assert kept is not None
    assert not verify_trace(tmp_path, known={"kept": kept}).is_intact


MALFORMED = {
    "no act": {},
    "unknown act": {"act": "forget"},
    "rotate to nothing": {"act": "rotate"},
    "no base64": {"act": "epoch", "key": "!"},
    "too short": {"act": "epoch", "key": base64.b64encode(b"short").decode()},
    "another kind": {"act": "post_quantum", "key": str(SECOND.public)},
    "without the key itself": {"act": "epoch", "key": str(SECOND.public)},
    "revoke nobody": {"act": "revoke", "since": 1},
    "revoke without a time": {"act": "revoke", "keyid": "00"},
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_key_entry_is_not_written(tmp_path: Path, body: dict[str, object]) -> None:
    async def main() -> None:
        async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
            await log.append([TraceEntry("key", "", body=body)], barrier="durable")

    with pytest.raises(TraceWriteError, match="key entry"):
        anyio.run(main)
    assert verify_trace(tmp_path).is_intact
