"""Signed tree heads: the C2SP formats, and one spelling only."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest
from logs import tree_root

from permissions.errors import SigningError, TraceIntegrityError
from permissions.signing.keys import PublicKey, memory_signer
from permissions.trace.checkpoint import (
    is_origin,
    key_hint,
    open_checkpoint,
    parse_checkpoint,
    parse_vkey,
    vkey,
)
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.merkle import EMPTY_ROOT, leaf_hash, node_hash

SIGNER = memory_signer(bytes(32))
ORIGIN = "example.com/log"
NOTE = CheckpointSigner(ORIGIN, SIGNER).sign(3, bytes(range(32)))

# The example of the Go package golang.org/x/mod/sumdb/note, whose format C2SP took over: its
# verifier key, and a note that key signed.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def test_key_hint_and_signature_are_those_of_the_go_package():
    name, hint, key = GO_KEY.split("+")
    raw = base64.b64decode(key)
    public = PublicKey(raw[1:])
    signature = base64.b64decode(GO_SIGNATURE)

    assert raw[0] == 1
    assert key_hint(name, public).hex() == hint == signature[:4].hex()
    public.verify(signature[4:], GO_TEXT.encode())


def test_a_note_is_text_a_blank_line_and_one_signature():
    origin, size, root, blank, line, rest = NOTE.split("\n")

    assert (origin, size, blank, rest) == (ORIGIN, "3", "", "")
    assert base64.b64decode(root) == bytes(range(32))
    assert line.startswith(f"— {ORIGIN} ")
    assert len(base64.b64decode(line.split(" ")[2])) == 4 + 64


def test_a_signed_checkpoint_opens_with_its_key():
    checkpoint = open_checkpoint(NOTE, SIGNER.public)

    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 3)
    assert checkpoint == parse_checkpoint(NOTE)


def test_lines_of_witnesses_are_ignored():
    witness = CheckpointSigner("witness.example/w", memory_signer()).sign(3, bytes(32))
    cosigned = NOTE + witness.split("\n\n")[1]

    assert open_checkpoint(cosigned, SIGNER.public).size == 3


def test_another_key_of_the_same_name_does_not_open_it():
    with pytest.raises(TraceIntegrityError, match="not signed by key"):
        open_checkpoint(NOTE, memory_signer().public)


def loosened(note: str) -> str:
    """Another spelling of the same base64: unused bits that are not zero."""
    head, _, tail = note.rpartition("=")
    return f"{head[:-1]}{chr(ord(head[-1]) + 1)}={tail}"


def test_the_vkey_of_the_specification_reads_and_writes():
    """The example of C2SP signed-note."""
    text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

    found = parse_vkey(text + "\n")

    assert found is not None
    assert found[0] == "example.com/foo"
    assert vkey(*found) == text
    assert parse_vkey("no key at all") is None
    with pytest.raises(SigningError, match="does not fit its own hash"):
        parse_vkey(text.replace("530d903a", "530d903b"))


@dataclass(frozen=True)
class Case:
    id: str
    note: str


TEXT, SIGNED = NOTE.split("\n\n")
CASES = [
    Case("empty", ""),
    Case("no signature", TEXT + "\n"),
    Case("size changed", NOTE.replace("\n3\n", "\n4\n")),
    Case("size with zero", NOTE.replace("\n3\n", "\n03\n")),
    Case("size negative", NOTE.replace("\n3\n", "\n-3\n")),
    Case("size of other digits", NOTE.replace("\n3\n", "\n٣\n")),
    Case("extension line", f"{TEXT}\nmore\n\n{SIGNED}"),
    Case("origin changed", NOTE.replace("example.com/log\n", "example.org/log\n")),
    Case("origin with space", NOTE.replace(ORIGIN, "example .com")),
    Case("root too short", NOTE.replace(TEXT.split("\n")[2], "AAAA")),
    Case("other base64 of the root", f"{loosened(TEXT)}\n\n{SIGNED}"),
    Case("other base64 of the signature", loosened(NOTE)),
    Case("signature cut", NOTE.replace(SIGNED, SIGNED[:-20] + "\n")),
    Case("no newline at the end", NOTE[:-1]),
    Case("carriage returns", NOTE.replace("\n", "\r\n")),
    Case("text after the signature", NOTE + "more\n"),
    Case("too long", NOTE + "— a AAAA\n" * 4000),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_is_no_signed_checkpoint_is_refused(case: Case):
    with pytest.raises(TraceIntegrityError):
        open_checkpoint(case.note, SIGNER.public)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "é", "x" * 201, "a\x00"])
def test_what_cannot_name_a_log(name: str):
    assert not is_origin(name)


def test_hashes_are_those_of_rfc_6962():
    """Section 2.1; the roots are those of the test data of Certificate Transparency."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    leaves = [leaf_hash(bytes.fromhex(each)) for each in inputs]

    assert EMPTY_ROOT.hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert [tree_root(leaves[:size]).hex() for size in (1, 2, 3, 7)] == [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    ]
    assert node_hash(leaves[0], leaves[1]) == tree_root(leaves[:2])


# Characters that `str.splitlines` ends a line at, and others that are spaces to somebody.
ODD = "\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029\xa0\u3000\t+"


@pytest.mark.parametrize("char", ODD, ids=[f"U+{ord(each):04X}" for each in ODD])
@pytest.mark.parametrize("where", ["name", "signature", "own"])
def test_no_other_character_ends_a_signature_line(char: str, where: str):
    """A typed refusal, and never another reading of the note."""
    line = {
        "name": f"\u2014 w{char}x AAAA\n",
        "signature": f"\u2014 witness AA{char}AA\n",
        "own": f"\u2014 {ORIGIN}{char} AAAA\n",
    }[where]

    for note in (NOTE + line, NOTE[:-1] + char + "\n"):
        with pytest.raises(TraceIntegrityError):
            open_checkpoint(note, SIGNER.public)
