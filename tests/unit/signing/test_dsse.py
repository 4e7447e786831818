"""DSSE v1.0.2: what is signed, and what a verifier gives back."""

from __future__ import annotations

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from permissions.errors import SigningError
from permissions.signing.dsse import (
    Envelope,
    pae,
    sign,
    verify,
)
from permissions.signing.keys import memory_signer

SIGNER = memory_signer(bytes(range(32)))
TYPE = "application/vnd.example+json"


def test_pae_is_that_of_the_protocols_own_example():
    """protocol.md, "Test vectors"."""
    encoded = pae("http://example.com/HelloWorld", b"hello world")

    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_pae_counts_bytes_not_characters():
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_the_verified_bytes_come_back_through_json():
    envelope = Envelope.parse(sign(b'{"a":1}', payload_type=TYPE, signers=[SIGNER]).dumps())

    assert verify(envelope, keys=[SIGNER.public], payload_type=TYPE) == b'{"a":1}'


def test_unknown_members_are_ignored_and_url_safe_base64_is_read():
    document = sign(b"\xff\xfe\xfd", payload_type=TYPE, signers=[SIGNER]).document()
    document["extra"] = 1
    document["payload"] = base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode()

    envelope = Envelope.parse(orjson.dumps(document))

    assert verify(envelope, keys=[SIGNER.public], payload_type=TYPE) == b"\xff\xfe\xfd"


def test_a_matching_keyid_alone_verifies_nothing():
    outsider = memory_signer()
    document = sign(b"x", payload_type=TYPE, signers=[outsider]).document()
    document["signatures"][0]["keyid"] = SIGNER.keyid

    with pytest.raises(SigningError, match="none of 1"):
        verify(Envelope.parse(orjson.dumps(document)), keys=[SIGNER.public], payload_type=TYPE)


def test_a_wrong_keyid_does_not_hinder_a_good_signature():
    document = sign(b"x", payload_type=TYPE, signers=[SIGNER]).document()
    document["signatures"][0]["keyid"] = "elsewhere"

    envelope = Envelope.parse(orjson.dumps(document))

    assert verify(envelope, keys=[memory_signer().public, SIGNER.public], payload_type=TYPE)


def test_a_signature_does_not_pass_for_another_type():
    signed = sign(b"x", payload_type=TYPE, signers=[SIGNER])
    relabelled = Envelope("application/other", signed.payload, signed.signatures)

    with pytest.raises(SigningError, match="none of 1"):
        verify(relabelled, keys=[SIGNER.public], payload_type="application/other")
    with pytest.raises(SigningError, match="type"):
        verify(signed, keys=[SIGNER.public], payload_type="application/other")


def test_no_signer_no_envelope():
    with pytest.raises(SigningError, match="give a signer"):
        sign(b"x", payload_type=TYPE, signers=[])


def test_no_trusted_key_verifies_nothing():
    signed = sign(b"x", payload_type=TYPE, signers=[SIGNER])

    with pytest.raises(SigningError):
        verify(signed, keys=[], payload_type=TYPE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"payloadType":"t","payload":"","signatures":{"a":1}}',
        b'{"payloadType":1,"payload":"","signatures":[]}',
        b'{"payloadType":"t","payload":"*","signatures":[]}',
        b'{"payloadType":"t","payload":"","signatures":[{"keyid":"k"}]}',
        b'{"payloadType":"t","payload":"","signatures":["k"]}',
        b" " * (1024 * 1024 + 1),
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes):
    with pytest.raises(SigningError):
        Envelope.parse(data)


@given(payload=st.binary(min_size=1, max_size=64), bit=st.integers(min_value=0))
def test_one_flipped_bit_of_payload_or_signature_is_found(payload: bytes, bit: int):
    signed = sign(payload, payload_type=TYPE, signers=[SIGNER])
    whole = bytearray(payload + signed.signatures[0].sig)
    path = bit % (len(whole) * 8)
    whole[path // 8] ^= 1 << path % 8
    changed = Envelope(
        TYPE,
        bytes(whole[: len(payload)]),
        (type(signed.signatures[0])("", bytes(whole[len(payload) :])),),
    )

    with pytest.raises(SigningError):
        verify(changed, keys=[SIGNER.public], payload_type=TYPE)
