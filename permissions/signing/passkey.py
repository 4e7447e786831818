"""Passkeys: public keys of WebAuthn authenticators, and the assertions they sign.

An authenticator does not sign what it is given: it signs its own data (which site, whether a
person was there and was verified) and the digest of the browser's client data, which holds the
challenge. So a passkey signs bytes by an assertion whose challenge is their SHA-256 (Web
Authentication Level 3, section 7.2), or that of a list of digests among which is theirs. Checked with nothing but the key, so anybody can, offline.

Not protected from: a site that shows a person something else than it lets them sign; a passkey
that its vendor copies to other devices of the same account.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from permissions.errors import SigningError
from permissions.signing.canonical import canonical, digest

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject

SCHEME = "passkey:"
"""How the text of a passkey begins."""
_USER_PRESENT = 0x01
_USER_VERIFIED = 0x04
_FLAGS_AT = 32
_LEAST = 37
"""Bytes of authenticator data without extensions: digest of the site, flags, counter."""
_MAX_CLIENT_DATA = 8192
MAX_TOGETHER = 100
"""Texts that one assertion signs."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an authenticator signed, beside the signature."""

    authenticator_data: bytes
    client_data: bytes
    together: tuple[str, ...] = ()
    """Digests of all texts that were signed at once; none where it was one alone."""

    def document(self) -> JsonObject:
        """As JSON, in base64."""
        together: JsonObject = {"together": list(self.together)} if self.together else {}
        return {
            "authenticator_data": base64.b64encode(self.authenticator_data).decode(),
            "client_data": base64.b64encode(self.client_data).decode(),
            **together,
        }


def challenge_of(data: bytes, together: tuple[str, ...] = ()) -> bytes:
    """What a passkey is asked to sign for these bytes, alone or as one of several texts.

    Of several it is the digest of the list of their digests, which cannot be taken for that of one
    text: those begin with `DSSEv1`.

    Raises:
        SigningError: the bytes are none of them, or they are too many.
    """
    if not together:
        return hashlib.sha256(data).digest()
    if digest(data) not in together or len(together) > MAX_TOGETHER:
        raise SigningError("the passkey signed other texts together")
    return hashlib.sha256(
        canonical({"type": "wardline.together/v1", "of": list(together)})
    ).digest()


@dataclass(frozen=True, slots=True)
class Passkey:
    """The public half of a passkey, and the site it was made for.

    Attributes:
        credential: its id, base64url without padding, as browsers name it.
        spki: the public key (SubjectPublicKeyInfo, DER): ECDSA over P-256, Ed25519 or RSA.
        rp_id: the site (a host name) whose assertions count.
        origin: the page's origin that they have to come from, as `https://approve.example.com`.
    """

    credential: str
    spki: bytes
    rp_id: str
    origin: str

    @classmethod
    def parse(cls, text: str) -> Passkey:
        """Reads the form that `str` gives: `passkey:` and base64 of a JSON object.

        Raises:
            SigningError: it is no such text, or its key cannot be used.
        """
        try:
            raw = base64.b64decode(text.strip().removeprefix(SCHEME), validate=True)
            document: dict[str, Any] = orjson.loads(raw)
            found = cls(
                credential=_text(document["credential"]),
                spki=base64.b64decode(_text(document["spki"]), validate=True),
                rp_id=_text(document["rp_id"]),
                origin=_text(document["origin"]),
            )
        except (ValueError, KeyError, TypeError, binascii.Error) as err:
            raise SigningError("not a passkey's public half") from err
        found._key()
        return found

    @property
    def keyid(self) -> str:
        """SHA-256 of the public key, 64 lower-case hex digits."""
        return hashlib.sha256(self.spki).hexdigest()

    def __str__(self) -> str:
        """One line that `parse` reads."""
        document = {
            "credential": self.credential,
            "origin": self.origin,
            "rp_id": self.rp_id,
            "spki": base64.b64encode(self.spki).decode(),
        }
        return SCHEME + base64.b64encode(orjson.dumps(document)).decode()

    def verify(self, signature: bytes, assertion: Assertion, data: bytes) -> None:
        """Checks that the person with this passkey signed these bytes, on this site.

        Raises:
            SigningError: another key, site or challenge, or nobody was there and verified.
        """
        said = _client_data(assertion.client_data)
        wanted = challenge_of(data, assertion.together)
        challenge = base64.urlsafe_b64encode(wanted).rstrip(b"=")
        if said.get("type") != "webauthn.get" or said.get("challenge") != challenge.decode():
            raise SigningError("the passkey signed something else")
        if said.get("origin") != self.origin or said.get("crossOrigin") not in (None, False):
            raise SigningError(f"the passkey was used on another page than {self.origin}")
        site = assertion.authenticator_data
        if (
            len(site) < _LEAST
            or site[:_FLAGS_AT] != hashlib.sha256(self.rp_id.encode()).digest()
        ):
            raise SigningError(f"the passkey was used for another site than {self.rp_id}")
        if ~site[_FLAGS_AT] & (_USER_PRESENT | _USER_VERIFIED):
            raise SigningError(
                "the passkey was used without verifying that its person is there"
            )
        self._verify_raw(signature, site + hashlib.sha256(assertion.client_data).digest())

    def _verify_raw(self, signature: bytes, data: bytes) -> None:
        key = self._key()
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(SHA256()))
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PKCS1v15(), SHA256())
            else:
                key.verify(signature, data)
        except InvalidSignature as err:
            raise SigningError(f"not a signature by passkey {self.keyid[:16]}") from err

    def _key(self) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey | Ed25519PublicKey:
        try:
            key = load_der_public_key(self.spki)
        except (ValueError, UnsupportedAlgorithm) as err:
            raise SigningError("the passkey's public key cannot be read") from err
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
            return key
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
            return key
        if isinstance(key, Ed25519PublicKey):
            return key
        raise SigningError("a passkey has a key of ECDSA P-256, Ed25519, or RSA of 2048 bits")


def _client_data(raw: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(raw[: _MAX_CLIENT_DATA + 1])
    except ValueError as err:
        raise SigningError("the passkey's client data are no JSON") from err
    if not isinstance(said, dict) or len(raw) > _MAX_CLIENT_DATA:
        raise SigningError("the passkey's client data are no JSON object")
    return said


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 2048:
        raise TypeError
    return value
