"""DSSE envelopes (Dead Simple Signing Envelope, v1.0.2).

A signature covers the pre-authentication encoding of type and payload, so bytes signed as
one type can never be passed off as another. `verify` hands back the very bytes that were
verified: read nothing else of an envelope. Unknown members are ignored, as the protocol
demands; `keyid` is a hint and decides nothing. A signature by a passkey has a member `webauthn`
with what its authenticator signed in the stead of the bytes (`signing.passkey`).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from permissions.errors import SigningError
from permissions.signing.keys import PublicKey
from permissions.signing.passkey import SCHEME, Assertion, Passkey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.model import JsonObject
    from permissions.signing.keys import Signer

MAX_ENVELOPE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; `keyid` only helps to find the key, `assertion` is a passkey's."""

    keyid: str
    sig: bytes
    assertion: Assertion | None = None

    def document(self) -> JsonObject:
        """As JSON."""
        said = {"keyid": self.keyid, "sig": base64.b64encode(self.sig).decode()}
        return (
            said if self.assertion is None else {**said, "webauthn": self.assertion.document()}
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type, and signatures that nobody has checked yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def document(self) -> JsonObject:
        """The envelope as the JSON object of the protocol."""
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [each.document() for each in self.signatures],
        }

    def dumps(self) -> bytes:
        """The envelope as JSON text."""
        return orjson.dumps(self.document())

    @classmethod
    def parse(cls, data: bytes) -> Envelope:
        """Reads JSON text.

        Raises:
            SigningError: it is not an envelope, or larger than 1 MiB.
        """
        if len(data) > MAX_ENVELOPE:
            raise SigningError(f"an envelope of {len(data)} bytes is larger than 1 MiB")
        try:
            document = orjson.loads(data)
            signatures = tuple(
                Signature(_text(one.get("keyid", "")), _base64(one["sig"]), _assertion(one))
                for one in document["signatures"]
            )
            return cls(
                payload_type=_text(document["payloadType"]),
                payload=_base64(document["payload"]),
                signatures=signatures,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise SigningError("this is not a DSSE envelope") from err


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: `DSSEv1 <len> <type> <len> <payload>`."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, *, payload_type: str, signers: Sequence[Signer]) -> Envelope:
    """Signs a payload with every signer given.

    Raises:
        SigningError: no signer was given.
    """
    if not signers:
        raise SigningError("an envelope without a signature proves nothing; give a signer")
    data = pae(payload_type, payload)
    return Envelope(
        payload_type=payload_type,
        payload=payload,
        signatures=tuple(Signature(one.keyid, one.sign(data)) for one in signers),
    )


def verify(
    envelope: Envelope, *, keys: Sequence[PublicKey | Passkey], payload_type: str
) -> bytes:
    """Checks that one of `keys` signed this payload as this type; returns the payload.

    Raises:
        SigningError: another type, or no signature by any of the keys.
    """
    if envelope.payload_type != payload_type:
        raise SigningError(
            f"the envelope's type is {envelope.payload_type[:80]!r}, not {payload_type!r}"
        )
    signed_by(envelope, keys)
    return envelope.payload


def signed_by(envelope: Envelope, keys: Sequence[PublicKey | Passkey]) -> PublicKey | Passkey:
    """Which of `keys` signed the envelope.

    Raises:
        SigningError: none of them.
    """
    data = pae(envelope.payload_type, envelope.payload)
    said: SigningError | None = None
    for signature in envelope.signatures:
        for key in keys:
            try:
                _verify_one(key, signature, data)
            except SigningError as err:
                said = err if isinstance(key, Passkey) else said
                continue
            return key
    why = "" if said is None else f" ({said})"
    raise SigningError(
        f"none of {len(envelope.signatures)} signatures is by one of {len(keys)} trusted keys{why}"
    )


def _verify_one(key: PublicKey | Passkey, signature: Signature, data: bytes) -> None:
    if isinstance(key, PublicKey):
        key.verify(signature.sig, data)
    elif signature.assertion is None:
        raise SigningError("no assertion of a passkey comes with it")
    else:
        key.verify(signature.sig, signature.assertion, data)


def _assertion(one: Any) -> Assertion | None:
    if (given := one.get("webauthn")) is None:
        return None
    return Assertion(
        _base64(given["authenticator_data"]),
        _base64(given["client_data"]),
        tuple(map(_text, given.get("together", ()))),
    )


def parse_key(text: str) -> PublicKey | Passkey:
    """The public half of a key, as its `str` writes it.

    Raises:
        SigningError: it is none.
    """
    return Passkey.parse(text) if text.startswith(SCHEME) else PublicKey.parse(text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _base64(value: Any) -> bytes:
    """Standard or URL-safe base64, both of which a verifier must accept."""
    if not isinstance(value, str):
        raise TypeError
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as err:
        raise ValueError from err
