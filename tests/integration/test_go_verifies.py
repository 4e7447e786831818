"""The code of Go's own checksum database takes our verifier key, checkpoint and proof."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from logs import SIGNER, write_log

from permissions.signing.keys import memory_signer
from permissions.trace.checkpoint import parse_checkpoint, vkey
from permissions.trace.note_keys import COSIGNATURE, ED25519, NoteKey, NoteSigner
from permissions.trace.proof import EntryProof, last_checkpoint, prove_entry
from permissions.trace.reader import read_entries
from permissions.trace.witnesses import tree_from
from permissions.trace.witnessing import AddCheckpoint
from permissions.witness.judge import Judge, WitnessState

pytestmark = [pytest.mark.go, pytest.mark.slow, pytest.mark.xdist_group("go-verifier")]

SOURCE = Path(__file__).parents[1] / "support" / "go_verifier"


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from a copy so that Go writes nothing beside the source.

    Go's own library is compiled for it each time: unoptimized, that takes a third less.
    """
    folder = tmp_path_factory.mktemp("go")
    shutil.copytree(SOURCE, folder / "source")
    built = folder / "verifier"
    done = subprocess.run(
        ["go", "build", "-gcflags=all=-N -l", "-o", str(built), "."],
        cwd=folder / "source",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return built


def said(verifier: Path, folder: Path, proof: EntryProof, line: bytes, key: str) -> str:
    files = [folder / name for name in ("log.vkey", "proof", "entry")]
    for file, data in zip(files, (key.encode(), proof.text().encode(), line), strict=True):
        file.write_bytes(data)
    asked = [str(verifier), *map(str, files)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def test_every_entry_is_proven_to_go_and_nothing_else_is(
    verifier: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"], calls=3)
    proofs = [prove_entry(log, each.index, key=SIGNER.public) for each in read_entries(log)]
    key = vkey(parse_checkpoint(proofs[0].note).origin, SIGNER.public)

    for proof in proofs:
        assert said(verifier, tmp_path, proof, proof.line, key) == "proven"
    one, other = proofs[3], proofs[4]
    assert said(verifier, tmp_path, one, other.line, key).startswith("refused")
    assert said(verifier, tmp_path, one, one.line[:-1], key).startswith("refused")
    elsewhere = vkey("elsewhere.example/log", SIGNER.public)
    assert said(verifier, tmp_path, one, one.line, elsewhere).startswith("refused")


def test_a_consistency_proof_and_a_cosignature_are_proven_to_go(
    verifier: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    write_log(log, seed="one")
    old = last_checkpoint(log)
    origin, size, _ = old.split("\n")[:3]
    write_log(log, seed="two", runs=["run-b", "run-c"], calls=3)
    key = NoteKey(origin, ED25519, SIGNER.public)
    witness = NoteSigner("witness.example/one", COSIGNATURE, memory_signer(b"w" * 32))
    judge = Judge(WitnessState(tmp_path / "state"), [witness], [key])
    proof = tree_from(log, int(size), head_size(log)).proof(int(size), head_size(log))
    request = AddCheckpoint(int(size), tuple(proof), last_checkpoint(log))
    assert judge.add_checkpoint(AddCheckpoint(0, (), old).text().encode()).status == 200
    answer = judge.add_checkpoint(request.text().encode())
    assert answer.status == 200
    parts = {
        "vkey": str(key),
        "witness": str(witness.key),
        "request": request.text(),
        "cosigned": request.note + answer.text,
        "old": old,
    }

    def judged(**changed: str) -> str:
        for name, text in {**parts, **changed}.items():
            (tmp_path / name).write_text(text)
        asked = [str(verifier), "cosigned", *(str(tmp_path / name) for name in parts)]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()

    assert judged() == "proven"
    first = request.text().split("\n")[1]
    other = first.replace(first[0], "B" if first[0] == "A" else "A", 1)
    assert judged(request=request.text().replace(first, other)).startswith("refused")
    unknown = NoteKey("witness.example/one", COSIGNATURE, memory_signer(b"s" * 32).public)
    assert judged(witness=str(unknown)).startswith("refused")
    assert judged(cosigned=request.note).startswith("refused")


def head_size(log: Path) -> int:
    return parse_checkpoint(last_checkpoint(log)).size
