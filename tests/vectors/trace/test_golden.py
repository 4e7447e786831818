"""A log of version 1 verifies for ever, also without this project's code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from pymerkle import InmemoryTree

from permissions.signing.keys import PublicKey
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

HERE = Path(__file__).parent
LOG = HERE / "v1"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads((HERE / "v1.json").read_text())


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
        for name in entry.facts
    } == expected["contents"]


def test_golden_log_needs_none_of_our_code(expected: dict[str, Any]):
    """Written from docs/reference/trace-format.md alone."""
    lines = [
        line for path in sorted(LOG.glob("*.jsonl")) for line in path.read_bytes().split(b"\n")
    ]
    keys = {
        key["key"]: aes_key_unwrap(
            bytes.fromhex(expected["kek"]), base64.b64decode(key["wrapped"])
        )
        for key in map(json.loads, (LOG / "vault.keys").read_text().splitlines())
    }
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(expected["public_key"]))
    tree = InmemoryTree(algorithm="sha256")
    entry: dict[str, Any] = {}
    opened = checkpoints = 0
    for line in lines:
        if line.startswith(b'{"body":'):
            tree.append_entry(line)
            entry = json.loads(line)
        elif line.startswith(b'{"content":'):
            sealed = json.loads(line)
            path = sealed["content"]
            facts = entry["contents"][path.split("/")[1]]
            assert hashlib.sha256(line).hexdigest() == facts["sealed"]
            raw = base64.b64decode(sealed["sealed"])
            bound = f"{entry['origin']}\n{entry['run']}\n{path}".encode()
            plain = AESGCM(keys[sealed["key"]]).decrypt(raw[:12], raw[12:], bound)
            committed = hmac.new(plain[:32], path.encode() + b"\0" + plain[32:], hashlib.sha256)
            assert committed.hexdigest() == facts["commitment"]
            opened += 1
        elif line.startswith(b'{"checkpoint":'):
            note = json.loads(line)["checkpoint"]
            text, signatures = note.split("\n\n")
            origin, size, root = text.split("\n")
            assert (int(size), base64.b64decode(root)) == (tree.get_size(), tree.get_root())
            raw = base64.b64decode(signatures.split(" ")[2])
            hint = hashlib.sha256(
                origin.encode() + b"\n\x01" + public.public_bytes_raw()
            ).digest()
            assert raw[:4] == hint[:4]
            public.verify(raw[4:], f"{text}\n".encode())
            checkpoints += 1

    assert opened == len(expected["contents"])
    assert checkpoints > 5
    assert tree.get_size() == expected["size"]
