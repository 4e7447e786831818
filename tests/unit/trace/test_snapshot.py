"""Opening reads what came after the last snapshot, and believes none that is odd."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from logs import CONFIG, FOREIGN, KEK, NAME, SIGNER, before, run_start, write_log

from permissions.errors import TraceIntegrityError
from permissions.trace import codec, committer
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.encoder import ENTRY_PREFIX
from permissions.trace.entry import TraceEntry
from permissions.trace.key_lines import destroy_keys, kek_id
from permissions.trace.log import open_log
from permissions.trace.recovery import recover
from permissions.trace.snapshot import SNAPSHOT_FILE, load_snapshot, restate_keys
from permissions.trace.store import segment_path
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.trace.recovery import Resumption

OPTIONS: dict[str, Any] = {"name": NAME, "signer": SIGNER, "kek": KEK, "config": CONFIG}


def resumed(directory: Path, copy: Path, *, whole: bool) -> Resumption:
    shutil.copytree(directory, copy)
    if whole:
        (copy / SNAPSHOT_FILE).unlink()
    return recover(copy, keys=[SIGNER.public], kek=KEK)


def told(found: Resumption) -> tuple[Any, ...]:
    entries = [
        (each.type, each.run, each.call, each.body.get("last")) for each in found.entries
    ]
    calls = [(each.call, each.since) for each in found.open_calls]
    return found.origin, found.frontier.root(), found.segment.name, found.offset, entries, calls


def test_a_closed_log_is_opened_as_if_it_were_read(tmp_path: Path):
    write_log(tmp_path / "log", runs=["run-a", "run-b"])

    short = resumed(tmp_path / "log", tmp_path / "short", whole=False)
    whole = resumed(tmp_path / "log", tmp_path / "whole", whole=True)

    assert load_snapshot(tmp_path / "short", [SIGNER.public], kek_id=kek_id(KEK)) is not None
    assert told(short) == told(whole)


async def test_calls_that_were_open_before_it_are_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As after kill -9: one call was open at the snapshot, one began and one ended since."""
    # The product waits for hundreds of entries; only where snapshots fall is other here.
    monkeypatch.setattr(committer, "ENTRIES_BETWEEN", 6)
    async with open_log(tmp_path / "log", **OPTIONS) as log:
        await log.append([run_start("run-a")], barrier="durable")
        await log.append(before("run-a", "early"), barrier="durable")
        await log.append(before("run-a", "ended"), barrier="durable")
        monkeypatch.setattr(committer, "ENTRIES_BETWEEN", 1000)
        last = TraceEntry("outcome", "run-a", "ended", {"status": "ok"})
        await log.append([last, *before("run-a", "late")], barrier="durable")
        short = resumed(tmp_path / "log", tmp_path / "short", whole=False)
        whole = resumed(tmp_path / "log", tmp_path / "whole", whole=True)

    snapshot = load_snapshot(tmp_path / "short", [SIGNER.public], kek_id=kek_id(KEK))
    assert snapshot is not None
    assert 0 < snapshot.checkpoint.size < short.frontier.size
    assert told(short) == told(whole)
    assert {each.call for each in short.entries if each.type == "gap"} == {"early", "late"}


async def test_writers_that_are_killed_one_after_the_other_leave_no_long_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """None of them wrote enough for a snapshot by itself."""
    # As above: where snapshots fall is other here.
    monkeypatch.setattr(committer, "ENTRIES_BETWEEN", 8)
    directory = tmp_path / "0"
    for number in range(3):
        async with open_log(directory, **OPTIONS) as log:
            await log.append([run_start(f"run-{number}")], barrier="durable")
            killed = tmp_path / str(number + 1)
            shutil.copytree(directory, killed, ignore=shutil.ignore_patterns(".*"))
            if number == 2:
                with anyio.fail_after(60):  # as soon as the committing thread comes to it
                    while not (directory / SNAPSHOT_FILE).exists():  # noqa: ASYNC110 - another thread makes it
                        await anyio.sleep(0.01)
        directory = killed


def test_keys_that_changed_make_the_whole_log_be_read(tmp_path: Path):
    """Unless whoever destroyed some says that the rest is what it was."""
    write_log(tmp_path, runs=["run-a", "run-b"])
    of_kek = kek_id(KEK)
    assert load_snapshot(tmp_path, [SIGNER.public], kek_id=of_kek) is not None
    assert load_snapshot(tmp_path, [SIGNER.public], kek_id="other") is None

    destroy_keys(tmp_path, {"run-a"})
    assert load_snapshot(tmp_path, [SIGNER.public], kek_id=of_kek) is None
    restate_keys(tmp_path, SIGNER)
    assert load_snapshot(tmp_path, [SIGNER.public], kek_id=of_kek) is not None

    restate_keys(tmp_path, FOREIGN)  # believes no snapshot of another key
    (tmp_path / SNAPSHOT_FILE).unlink()
    with pytest.raises(TraceIntegrityError, match="no entry says that it was erased"):
        recover(tmp_path, keys=[SIGNER.public], kek=KEK)


def test_an_old_byte_that_rotted_stops_no_start_and_is_found(tmp_path: Path):
    write_log(tmp_path)
    segment = segment_path(tmp_path, 0)
    lines = segment.read_bytes().splitlines(keepends=True)
    at = [at for at, line in enumerate(lines) if line.startswith(ENTRY_PREFIX)][3]
    lines[at] = lines[at].replace(b"read", b"rite")
    segment.write_bytes(b"".join(lines))

    write_log(tmp_path, runs=["run-b"], seed="later")
    rotten = verify_trace(tmp_path, key=SIGNER.public)
    segment.write_bytes(segment.read_bytes().replace(b"rite", b"read", 1))

    assert rotten.integrity.verdict == "failed"
    assert verify_trace(tmp_path, key=SIGNER.public).integrity.verdict == "signed"


def edited(path: Path) -> None:
    document = codec.decode(path.read_bytes()[:-1], limit=1 << 20)
    document["snapshot"] = document["snapshot"].replace('"calls":[]', '"calls":[1]')
    path.write_bytes(codec.encode(document) + b"\n")


WAYS: dict[str, Callable[[Path], None]] = {
    "gone": lambda path: path.unlink(),
    "edited": edited,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]) and None,
    "not JSON": lambda path: path.write_bytes(b"\x00" * 50) and None,
}


@pytest.mark.parametrize("way", WAYS)
def test_without_one_to_rely_on_the_whole_log_is_read(tmp_path: Path, way: str):
    write_log(tmp_path)
    segment = segment_path(tmp_path, 0)
    segment.write_bytes(segment.read_bytes().replace(b'"tool":"read"', b'"tool":"rite"', 1))
    WAYS[way](tmp_path / SNAPSHOT_FILE)

    with pytest.raises(TraceIntegrityError, match="not continued"):
        write_log(tmp_path)


def test_one_of_another_key_or_log_is_not_used(tmp_path: Path):
    write_log(tmp_path / "one", seed="one")
    write_log(tmp_path / "two", seed="two")
    write_log(tmp_path / "foreign", signer=FOREIGN)
    for other in ("two", "foreign"):
        data = (tmp_path / other / SNAPSHOT_FILE).read_bytes()
        (tmp_path / "one" / SNAPSHOT_FILE).write_bytes(data)
        assert load_snapshot(tmp_path / "one", [SIGNER.public], kek_id=kek_id(KEK)) is None

    write_log(tmp_path / "one", runs=["run-z"], seed="later")
    assert verify_trace(tmp_path / "one", key=SIGNER.public).integrity.verdict == "signed"


def test_a_checkpoint_kept_before_it_has_the_whole_log_read(tmp_path: Path):
    """Or a log that was rewritten before its snapshot would be continued."""
    write_log(tmp_path / "one", seed="one")
    early = verify_trace(tmp_path / "one", key=SIGNER.public).checkpoint
    assert early is not None
    write_log(tmp_path / "one", runs=["run-b"], seed="later")

    found = recover(tmp_path / "one", keys=[SIGNER.public], kek=KEK, known={"kept": early})

    assert found.frontier.size > 0
    with pytest.raises(TraceIntegrityError, match="does not fit"):
        recover(tmp_path / "one", keys=[SIGNER.public], kek=KEK, known={"kept": forged(early)})


def forged(note: str) -> str:
    """The same size, and another root that the key signed, too."""
    said = parse_checkpoint(note)
    return CheckpointSigner(said.origin, FOREIGN).sign(said.size, bytes(32))


def test_a_cut_below_it_is_not_hidden(tmp_path: Path):
    write_log(tmp_path)
    segment = segment_path(tmp_path, 0)
    lines = segment.read_bytes().splitlines(keepends=True)
    kept = verify_trace(tmp_path, key=SIGNER.public).checkpoint
    assert kept is not None
    segment.write_bytes(b"".join(lines[:-6]))

    with pytest.raises(TraceIntegrityError, match="tail was cut"):
        recover(tmp_path, keys=[SIGNER.public], kek=KEK, known={"kept": kept})
