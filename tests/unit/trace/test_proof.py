"""A proof shows one entry under the signed root, and no other."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from logs import FOREIGN, SIGNER, write_log

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.checkpoint import open_checkpoint
from permissions.trace.proof import prove_entry, root_from
from permissions.trace.reader import read_entries
from permissions.trace.store import segment_path

if TYPE_CHECKING:
    from pathlib import Path


def test_every_entry_is_proven_and_no_other_line_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_log(log, runs=["run-a", "run-b"], calls=3)
    entries = list(read_entries(log))
    head = open_checkpoint(prove_entry(log, 0, key=SIGNER.public).note, SIGNER.public)
    assert head.size == len(entries)

    for entry in entries:
        proof = prove_entry(log, entry.index, key=SIGNER.public)
        assert root_from(proof.line, entry.index, head.size, proof.hashes) == head.root
        other = (entry.index + 1) % head.size
        assert root_from(proof.line + b" ", entry.index, head.size, proof.hashes) != head.root
        if len(prove_entry(log, other, key=None).hashes) == len(proof.hashes):
            assert root_from(proof.line, other, head.size, proof.hashes) != head.root


def test_its_text_is_of_the_format(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_log(log)
    proof = prove_entry(log, 5, key=SIGNER.public)

    first, index, *rest = proof.text().split("\n\n")[0].splitlines()
    assert (first, index) == ("c2sp.org/tlog-proof@v1", "index 5")
    assert [base64.b64decode(line) for line in rest] == list(proof.hashes)
    assert proof.text().partition("\n\n")[2] == proof.note


def test_an_entry_that_is_not_there_and_a_log_that_was_altered_are_refused(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    write_log(log)
    with pytest.raises(TraceError, match="there is no entry 999 under the last checkpoint"):
        prove_entry(log, 999, key=SIGNER.public)
    with pytest.raises(TraceIntegrityError, match="not signed by key"):
        prove_entry(log, 0, key=FOREIGN.public)
    segment = segment_path(log, 0)
    segment.write_bytes(segment.read_bytes().replace(b'"tool":"read"', b'"tool":"reap"', 1))
    with pytest.raises(TraceIntegrityError, match="not those the last checkpoint"):
        prove_entry(log, 0, key=SIGNER.public)
