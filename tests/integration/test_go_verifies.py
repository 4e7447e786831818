"""The code of Go's own checksum database takes our verifier key, checkpoint and proof."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from logs import SIGNER, write_log

from permissions.trace.checkpoint import parse_checkpoint, vkey
from permissions.trace.proof import EntryProof, prove_entry
from permissions.trace.reader import read_entries

pytestmark = [pytest.mark.go, pytest.mark.slow]

SOURCE = Path(__file__).parents[1] / "support" / "go_verifier"


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from a copy so that Go writes nothing beside the source."""
    folder = tmp_path_factory.mktemp("go")
    shutil.copytree(SOURCE, folder / "source")
    built = folder / "verifier"
    done = subprocess.run(
        ["go", "build", "-o", str(built), "."],
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
