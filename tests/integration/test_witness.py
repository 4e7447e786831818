"""Witnesses: a log and a broker that ask them over HTTP, and a witness that says no."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import uvicorn
from logs import CONFIG, KEK, NAME, SIGNER, record_run, seeded

from permissions.errors import ConfigError, TraceIntegrityError, TraceWriteError
from permissions.signing.keys import memory_signer
from permissions.signing.post_quantum import memory_post_quantum_signer
from permissions.trace.checkpoint import cosigned_at, parse_checkpoint, vkey
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.fork_proof import ForkProof, prove_fork
from permissions.trace.log import SignedLog, open_log
from permissions.trace.note_keys import COSIGNATURE, ED25519, ML_DSA_44, NoteKey, NoteSigner
from permissions.trace.proof import last_checkpoint
from permissions.trace.replica import replica_folder
from permissions.trace.store import segment_path
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from permissions.trace.witnesses import Witness, tree_from
from permissions.trace.witnessing import AddCheckpoint
from permissions.witness.judge import Judge, WitnessState
from permissions.witness.server import witness_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORIGIN = "witnessed.example/log"
COSIGNER = NoteSigner("witness.example/one", COSIGNATURE, memory_signer(b"w" * 32))
QUANTUM = NoteSigner("witness.example/one", ML_DSA_44, memory_post_quantum_signer(b"q" * 32))
LOG_KEY = NoteKey(ORIGIN, ED25519, SIGNER.public)


@contextmanager
def serving(folder: Path, *signers: NoteSigner, port: int = 0) -> Iterator[str]:
    """A witness of the log, on a port of its own."""
    state = WitnessState(folder)
    judge = Judge(state, signers or (COSIGNER,), [LOG_KEY])
    config = uvicorn.Config(witness_app(judge), port=port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        state.close()


def witnessed_log(
    folder: Path, *witnesses: Witness, seed: str = "", quorum: int = 1, **more: Any
) -> Any:
    return open_log(
        folder,
        name=NAME,
        origin=ORIGIN,
        signer=SIGNER,
        kek=KEK,
        config=CONFIG,
        random=seeded(seed),
        witnesses=witnesses,
        quorum=quorum,
        **more,
    )


async def recorded(log: SignedLog, run: str, barrier: Any) -> None:
    """A run whose first append waits for this barrier."""
    from logs import before, outcome, run_end, run_start

    await log.append([run_start(run)], barrier="durable")
    await log.append(before(run, f"{run}-0"), barrier=barrier)
    await log.append([outcome(run, f"{run}-0")], barrier=barrier)
    await log.append([run_end(run, 1)], barrier="durable")


def at_work(
    folder: Path, *witnesses: Witness, runs: int = 1, seed: str = "", **more: Any
) -> None:
    async def main() -> None:
        async with witnessed_log(folder, *witnesses, seed=seed, **more) as log:
            for number in range(runs):
                await recorded(log, f"run-{seed}{number}", "witnessed")

    anyio.run(main)


@pytest.mark.parametrize("cosigner", [COSIGNER, QUANTUM], ids=["ed25519", "ml-dsa-44"])
def test_a_log_is_cosigned_and_a_verifier_sees_it(tmp_path: Path, cosigner: NoteSigner) -> None:
    log = tmp_path / "log"
    with serving(tmp_path / "witness", COSIGNER, QUANTUM) as url:
        witness = Witness(url, cosigner.key)
        for seed in ("a", "b"):  # the second begins without knowing where the witness is
            at_work(log, witness, seed=seed, runs=3)
        digest = hashlib.sha256(ORIGIN.encode()).hexdigest()
        with urllib.request.urlopen(f"{url}/{digest}/checkpoint") as answer:  # noqa: S310 - of this test
            theirs = answer.read().decode()

    report = verify_trace(log, key=SIGNER.public, witnesses=[cosigner.key])
    assert report.integrity.verdict == "signed"
    assert report.anchoring == "anchored"
    (found,) = report.witnessed
    assert found.size == report.integrity.size == parse_checkpoint(theirs).size
    assert abs(found.time - time.time()) < 600
    assert report.lacks(["witnessed"]) == []
    assert cosigned_at(theirs, cosigner.key) == found.time

    unknown = NoteKey("witness.example/two", COSIGNATURE, memory_signer(b"s" * 32).public)
    report = verify_trace(log, key=SIGNER.public, witnesses=[unknown])
    assert report.unwitnessed == ("witness.example/two",)
    assert report.lacks(["witnessed"]) == ["witnessed"]
    assert report.anchoring == "unanchored"


@pytest.mark.slow
def test_what_is_asked_to_be_witnessed_does_not_start_without_a_witness(tmp_path: Path) -> None:
    log = tmp_path / "log"
    nobody = Witness("http://127.0.0.1:9", COSIGNER.key)

    async def main() -> None:
        async with witnessed_log(log, nobody) as opened:
            with pytest.raises(TraceWriteError, match="too few witnesses"):
                await recorded(opened, "run-a", "witnessed")
            await record_run(opened, "run-b", 1)  # others go on

    anyio.run(main)
    text = segment_path(log, 0).read_text()
    assert text.count('"type":"intent"') == 2
    assert text.count('"type":"start"') == 1
    with pytest.raises(TraceWriteError, match="nobody witnesses"):
        at_work(tmp_path / "other")


@pytest.mark.slow
def test_a_quorum_is_as_many_witnesses(tmp_path: Path) -> None:
    nobody = Witness("http://127.0.0.1:9", QUANTUM.key)
    with serving(tmp_path / "first") as url:
        there = Witness(url, COSIGNER.key)
        at_work(tmp_path / "one", there, nobody, quorum=1)
    with serving(tmp_path / "second") as url:  # the first knows another log of that name
        there = Witness(url, COSIGNER.key)
        with pytest.raises(TraceWriteError, match="too few witnesses"):
            at_work(tmp_path / "two", there, nobody, quorum=2)


def parted(tmp_path: Path) -> tuple[Path, Path]:
    """Two logs of one name and key that part after the first run, the second longer."""
    one, two = tmp_path / "one", tmp_path / "two"
    plain(one, "common")
    shutil.copytree(one, two)
    plain(one, "a")
    plain(two, "b")
    plain(two, "c")
    return one, two


def plain(folder: Path, seed: str) -> None:
    async def main() -> None:
        async with witnessed_log(folder, seed=seed) as log:
            await record_run(log, f"run-{seed}", 2)

    anyio.run(main)


def asked(log: Path, old: int = 0) -> bytes:
    note = last_checkpoint(log)
    new = parse_checkpoint(note).size
    proof = tree_from(log, old, new).proof(old, new) if old else []
    return AddCheckpoint(old, tuple(proof), note).text().encode()


def test_a_witness_refuses_a_second_history_and_says_what_it_knows(tmp_path: Path) -> None:
    one, two = parted(tmp_path)
    state = WitnessState(tmp_path / "witness")
    judge = Judge(state, [COSIGNER], [LOG_KEY])
    size = parse_checkpoint(last_checkpoint(one)).size

    assert judge.add_checkpoint(asked(one)).status == HTTPStatus.OK
    said = judge.add_checkpoint(asked(two))
    assert (said.status, said.text, said.kind) == (
        HTTPStatus.CONFLICT,
        f"{size}\n",
        "text/x.tlog.size",
    )
    assert judge.add_checkpoint(asked(two, size)).status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert judge.add_checkpoint(asked(one, size)).status == HTTPStatus.OK  # the same again
    state.close()

    again = WitnessState(tmp_path / "witness")
    judge = Judge(again, [COSIGNER], [LOG_KEY])
    assert judge.add_checkpoint(asked(two)).status == HTTPStatus.CONFLICT
    assert judge.add_checkpoint(asked(two, size)).status == HTTPStatus.UNPROCESSABLE_ENTITY
    again.close()


def test_a_witness_answers_each_fault_as_the_protocol_says(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plain(log, "a")
    body, note = asked(log), last_checkpoint(log)
    state = WitnessState(tmp_path / "witness")
    judge = Judge(state, [COSIGNER], [LOG_KEY])
    checkpoint = parse_checkpoint(note)
    foreign = CheckpointSigner(ORIGIN, memory_signer()).sign(checkpoint.size, checkpoint.root)
    elsewhere = CheckpointSigner("elsewhere.example/log", SIGNER).sign(1, bytes(32))
    empty = CheckpointSigner(ORIGIN, SIGNER).sign(0, bytes(32))
    cases = {
        b"": 400,
        b"\xff": 400,
        b"old 0\n\nno note\n": 400,
        b"old 00\n\n" + note.encode(): 400,
        b"old 999999\n\n" + note.encode(): 400,
        body.replace(b"old 0", b"old 1", 1): 409,
        b"old 0\n\n" + foreign.encode(): 403,
        b"old 0\n\n" + elsewhere.encode(): 404,
        b"old 0\n\n" + empty.encode(): 422,
        b"old 0\n" + b"A" * 43 + b"=\n\n" + note.encode(): 422,
        b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\n" + note.encode(): 400,
        b"x" * 200_000: 400,
    }
    for sent, status in cases.items():
        assert judge.add_checkpoint(sent).status == status, sent[:60]
    assert state.last(ORIGIN) is None
    assert judge.checkpoint_of("0" * 64).status == HTTPStatus.NOT_FOUND
    assert judge.add_checkpoint(body).status == HTTPStatus.OK
    state.close()


def test_of_two_histories_at_once_one_is_cosigned(tmp_path: Path) -> None:
    one, two = parted(tmp_path)
    state = WitnessState(tmp_path / "witness")
    judge = Judge(state, [COSIGNER], [LOG_KEY])
    answers: list[int] = []
    requests = [asked(one), asked(two)] * 8
    start = threading.Barrier(len(requests))

    def ask(body: bytes) -> None:
        start.wait()
        answers.append(judge.add_checkpoint(body).status)

    threads = [threading.Thread(target=ask, args=(body,)) for body in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state.close()
    assert answers.count(HTTPStatus.OK) == 1
    assert answers.count(HTTPStatus.CONFLICT) == len(requests) - 1


def test_two_checkpoints_that_disagree_are_proven_and_two_that_agree_are_not(
    tmp_path: Path,
) -> None:
    one, two = parted(tmp_path)
    shorter, longer = last_checkpoint(one), last_checkpoint(two)

    proof = ForkProof.parse(prove_fork(two, shorter).dumps())

    proof.check(SIGNER.public)
    with pytest.raises(TraceIntegrityError):
        proof.check(memory_signer().public)
    with pytest.raises(TraceIntegrityError):
        ForkProof(proof.later, proof.earlier, proof.root, proof.hashes).check(SIGNER.public)
    right = parse_checkpoint(shorter).root
    with pytest.raises(TraceIntegrityError):
        ForkProof(shorter, longer, right, proof.hashes).check(SIGNER.public)
    for at in range(len(proof.hashes)):
        hashes = (*proof.hashes[:at], bytes(32), *proof.hashes[at + 1 :])
        with pytest.raises(TraceIntegrityError):
            ForkProof(shorter, longer, proof.root, hashes).check(SIGNER.public)
    plain(one, "more")
    with pytest.raises(TraceIntegrityError, match="agree"):
        prove_fork(one, shorter)


def test_a_second_copy_is_the_log_and_one_that_went_further_stops_the_opening(
    tmp_path: Path,
) -> None:
    log, disk = tmp_path / "log", tmp_path / "disk"

    def write(seed: str, *, barrier: str = "replicated") -> None:
        async def main() -> None:
            async with witnessed_log(log, seed=seed, replica=disk) as opened:
                await recorded(opened, f"run-{seed}", barrier)

        anyio.run(main)

    write("a")
    plain(log, "without")  # the copy is behind by a run
    write("b", barrier="durable")
    copy = replica_folder(disk, ORIGIN)

    assert segment_path(copy, 0).read_bytes() == segment_path(log, 0).read_bytes()
    vault = VaultReader(copy, KEK)
    assert verify_trace(copy, key=SIGNER.public, vault=vault).completeness.is_whole
    segment_path(copy, 99_999).write_bytes(b"")  # of a log that went further
    with pytest.raises(TraceIntegrityError, match="goes further"):
        write("c")
    segment_path(copy, 99_999).unlink()
    path = segment_path(log, 0)
    lines = path.read_bytes().splitlines(keepends=True)
    notes = [at for at, line in enumerate(lines) if line.startswith(b'{"checkpoint"')]
    path.write_bytes(b"".join(lines[: notes[-2] + 1]))
    (log / "snapshot.json").unlink()
    with pytest.raises(TraceIntegrityError, match="goes further"):
        write("c")


def test_a_second_disk_that_fails_stops_those_who_need_it(tmp_path: Path) -> None:
    log, disk = tmp_path / "log", tmp_path / "disk"

    async def main() -> None:
        async with witnessed_log(log, replica=disk) as opened:
            await recorded(opened, "run-a", "replicated")
            shutil.rmtree(disk)
            with pytest.raises(TraceWriteError, match="second copy"):
                await recorded(opened, "run-b", "replicated")
            await record_run(opened, "run-c", 1)

    anyio.run(main)
    assert verify_trace(log, key=SIGNER.public).is_intact

    async def alone() -> None:
        async with witnessed_log(tmp_path / "other") as opened:
            await recorded(opened, "run-a", "replicated")

    with pytest.raises(TraceWriteError, match="no second copy"):
        anyio.run(alone)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("ftp://example.com", str(COSIGNER.key)),
        ("example.com", str(COSIGNER.key)),
        ("http://example.com", "no key"),
        ("http://example.com", vkey(ORIGIN, SIGNER.public)),
    ],
)
def test_a_witness_that_cannot_be_asked_is_refused(url: str, key: str) -> None:
    with pytest.raises(ConfigError):
        Witness.parse(url, key)


@pytest.mark.slow
def test_the_command_cosigns_and_forgets_nothing_when_it_is_killed(tmp_path: Path) -> None:
    one, two = parted(tmp_path)
    (tmp_path / "log.vkey").write_text(f"{LOG_KEY}\n")
    size = parse_checkpoint(last_checkpoint(one)).size

    @contextmanager
    def running() -> Iterator[tuple[str, str]]:
        argv = [sys.executable, "-m", "permissions", "witness", "--name", "w.example"]
        argv += ["--log", str(tmp_path / "log.vkey"), "--state", str(tmp_path / "w")]
        process = subprocess.Popen([*argv, "--port", "0"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            key, _, url = (process.stdout.readline().split()[-1] for _ in range(3))
            yield url, key  # it listens already, and answers once it has begun
        finally:
            process.kill()
            process.communicate()

    def post(url: str, body: bytes) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{url}/add-checkpoint", data=body) as answer:  # noqa: S310 - of this test
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as err:
            return err.code, err.read().decode()

    with running() as (url, key):
        status, lines = post(url, asked(one))
        assert status == 200
        witness = NoteKey.parse(key)
        assert witness is not None
        assert cosigned_at(last_checkpoint(one) + lines, witness)
    with running() as (url, again):
        assert again == key
        assert post(url, asked(two)) == (409, f"{size}\n")
        assert post(url, asked(two, size))[0] == 422
