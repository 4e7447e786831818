"""A log of version 2 verifies for ever, also without this project's code."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import second_verifier
from second_verifier import DoesNotFitError

from permissions.signing.keys import PublicKey
from permissions.trace.reader import read_entries
from permissions.trace.vault import ErasedError, VaultReader
from permissions.trace.verify import verify_trace

HERE = Path(__file__).parent
LOG = HERE / "v2"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads((HERE / "v2.json").read_text())


def test_golden_log_verifies(expected: dict[str, Any]):
    vault = VaultReader(LOG, bytes.fromhex(expected["kek"]))

    report = verify_trace(LOG, key=PublicKey.parse(expected["public_key"]), vault=vault)

    assert report.integrity.verdict == "signed"
    assert report.integrity.size == expected["size"]
    assert report.integrity.root == expected["root"]
    assert report.checkpoint == expected["checkpoint"]
    assert report.completeness.is_whole
    assert report.completeness.contents.checked == len(expected["contents"])


def test_golden_log_reads_the_same(expected: dict[str, Any]):
    vault = VaultReader(LOG, bytes.fromhex(expected["kek"]))
    entries = list(read_entries(LOG))

    assert [entry.leaf.hex() for entry in entries] == expected["leaves"]
    assert {
        f"{entry.index}/{name}": entry.open(name, vault).hex()
        for entry in entries
        for name in entry.digests
    } == expected["contents"]


def test_golden_log_needs_none_of_our_code(capsys: pytest.CaptureFixture[str]):
    """`second_verifier` was written from docs/reference/trace-format.md alone."""
    status = second_verifier.main(str(LOG), str(LOG / "log.pem.pub"), str(LOG / "vault.key"))

    assert (status, capsys.readouterr().out) == (0, "in order\n")


@pytest.mark.parametrize("at", range(0, 12_000, 397))
def test_one_flipped_bit_is_found_by_both(tmp_path: Path, at: int):
    for path in LOG.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    segment = next(tmp_path.glob("*.jsonl"))
    data = bytearray(segment.read_bytes())
    data[at % len(data)] ^= 4
    segment.write_bytes(data)

    report = verify_trace(tmp_path)

    assert not report.is_intact or report.completeness.unsigned_bytes
    with pytest.raises(DoesNotFitError):
        second_verifier.verify(tmp_path)


def test_a_log_whose_keys_change_verifies_under_each_of_them() -> None:
    log, expected = HERE / "v2-keys", json.loads((HERE / "v2-keys.json").read_text())
    vault = VaultReader(log, bytes.fromhex(expected["kek"]))

    report = verify_trace(log, key=PublicKey.parse(expected["last_key"]), vault=vault)

    found = report.integrity
    assert found.verdict == "signed"
    assert (found.size, found.root) == (expected["size"], expected["root"])
    assert report.checkpoint == expected["checkpoint"]
    assert [asdict(each) for each in found.doubtful] == expected["doubtful"]
    first = PublicKey.parse(expected["first_key"])
    assert verify_trace(log, key=first).integrity.pin_revoked
    for key in (report.key, first):
        assert key is not None
        assert second_verifier.verify(log, key.raw, bytes.fromhex(expected["kek"])) == []


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_line_of_each_key_in_force_is_asked_for_by_both(tmp_path: Path, kept: int) -> None:
    """Of the three lines under the rotation's checkpoint, this one alone."""
    for path in (HERE / "v2-keys").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    segment = next(tmp_path.glob("*.jsonl"))
    lines = segment.read_bytes().splitlines()
    rotated = next(n for n, line in enumerate(lines) if b'"act":"rotate"' in line)
    at = next(n for n in range(rotated, len(lines)) if lines[n].startswith(b'{"checkpoint"'))
    note = json.loads(lines[at])["checkpoint"]
    text, _, signed = note.partition("\n\n")
    assert signed.count("\n") == 4
    left = signed.splitlines()[kept]
    lines[at] = json.dumps(
        {"checkpoint": f"{text}\n\n{left}\n"}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    segment.write_bytes(b"".join(line + b"\n" for line in lines))

    assert not verify_trace(tmp_path, signatures="last").is_intact
    with pytest.raises(DoesNotFitError):
        second_verifier.verify(tmp_path)


def test_of_a_log_without_two_kinds_all_else_is_read(tmp_path: Path) -> None:
    log = HERE / "v2-erased"
    kek = (log / "vault.key").read_bytes()
    vault, closed = VaultReader(log, kek), []
    for entry in read_entries(log):
        for name in entry.digests:
            try:
                entry.open(name, vault)
            except ErasedError:
                closed.append((entry.run, name))

    assert sorted(closed) == [("run-a", "arguments"), ("run-a", "result")]
    assert verify_trace(log, vault=vault).completeness.is_whole
    assert second_verifier.verify(log, None, kek) == []
    shutil.copytree(log, tmp_path / "one more")
    (keys := tmp_path / "one more" / "vault.keys").write_bytes(
        b"".join(
            line
            for line in (log / "vault.keys").read_bytes().splitlines(keepends=True)
            if b'"kind":"decisions","run":"run-a"' not in line
        )
    )
    report = verify_trace(keys.parent, vault=VaultReader(keys.parent, kek))
    (found,) = report.completeness.findings
    assert "the key of run 'run-a' for decisions is not there" in found.text
    assert len(second_verifier.verify(keys.parent, None, kek)) == 2
