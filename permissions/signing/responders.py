"""Responders' keys: what is sealed to them the broker cannot read back (HPKE, RFC 9180).

X25519, HKDF-SHA256 and AES-256-GCM, in base mode. The broker has their public halves alone: it seals
the key of each run to every one of them, and forgets it when the run ends.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from permissions import files
from permissions.errors import SigningError
from permissions.signing.keys import public_half, read_secret, write_secret

if TYPE_CHECKING:
    from pathlib import Path

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class ResponderKey:
    """The public half of a responder's key; `raw` is its 32 bytes."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> ResponderKey:
        """Reads base64 of the 32 bytes.

        Raises:
            SigningError: it is none.
        """
        try:
            raw = base64.b64decode(text.strip(), validate=True)
        except binascii.Error as err:
            raise SigningError("the public key of a responder is base64 of 32 bytes") from err
        if len(raw) != _KEY_BYTES:
            raise SigningError(f"the public key of a responder has 32 bytes, not {len(raw)}")
        return cls(raw)

    @property
    def keyid(self) -> str:
        """16 hex digits by which a sealed key names it."""
        return hashlib.sha256(b"wardline responder\x00" + self.raw).hexdigest()[:16]

    def __str__(self) -> str:
        """Base64, the form `parse` reads."""
        return base64.b64encode(self.raw).decode()

    def seal(self, data: bytes, info: bytes) -> bytes:
        """What only this responder opens, and only with the same `info`.

        Raises:
            SigningError: the key is none that can be sealed to.
        """
        try:
            return _SUITE.encrypt(data, X25519PublicKey.from_public_bytes(self.raw), info)
        except (ValueError, UnsupportedAlgorithm) as err:
            raise SigningError(f"nothing can be sealed to the responder {self.keyid}") from err


class Responder:
    """The private half, where contents are read."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public = ResponderKey(private.public_key().public_bytes_raw())

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """What was sealed to this responder with this `info`.

        Raises:
            SigningError: it was altered, or is not for this one.
        """
        try:
            return _SUITE.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError) as err:
            raise SigningError("a key that was sealed to this responder does not open") from err


def read_responder(path: Path) -> Responder:
    """The private key in a PKCS #8 PEM file that only its owner may read.

    Raises:
        SigningError: it cannot be read, or is another kind of key.
    """
    try:
        loaded = serialization.load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise SigningError(f"{path} holds no unencrypted PKCS #8 PEM key") from err
    if not isinstance(loaded, X25519PrivateKey):
        raise SigningError(f"the key {path} is not X25519")
    return Responder(loaded)


def make_responder(path: Path) -> Responder:
    """Makes a key: `path` (0600) for the private half, `path`.pub for the public one.

    Raises:
        SigningError: the file exists (it is never overwritten), or cannot be written.
    """
    private = X25519PrivateKey.generate()
    responder = Responder(private)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        files.make_folder(path.parent)
        write_secret(path, pem)
        files.replace(public_half(path), f"{responder.public}\n".encode(), mode=0o644)
    except FileExistsError as err:
        raise SigningError(f"the key {path} exists; move it away to make another") from err
    except OSError as err:
        raise SigningError(f"the key {path} cannot be written: {err}") from err
    return responder
