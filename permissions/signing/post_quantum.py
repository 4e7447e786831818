"""ML-DSA-44 keys (FIPS 204): a second signature that a quantum computer does not forge.

A signature has 2,420 bytes and takes about half a millisecond, so it stands beside Ed25519 where
the settings ask for it and never in its stead.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA44PublicKey,
)

from permissions import files
from permissions.errors import SigningError
from permissions.signing.keys import read_secret, write_secret

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 1312
SIGNATURE_BYTES = 2420


@dataclass(frozen=True, slots=True)
class PostQuantumKey:
    """An ML-DSA-44 public key; `raw` is its 1,312 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        """Raises `SigningError` unless there are 1,312 bytes."""
        if len(self.raw) != KEY_BYTES:
            raise SigningError(f"an ML-DSA-44 key has {KEY_BYTES} bytes, not {len(self.raw)}")

    def __str__(self) -> str:
        """Base64 of the raw key."""
        return base64.b64encode(self.raw).decode()

    def verify(self, signature: bytes, data: bytes) -> None:
        """Checks one signature.

        Raises:
            SigningError: it is not this key's signature of `data`.
        """
        try:
            MLDSA44PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError) as err:
            raise SigningError("not a signature by this ML-DSA-44 key") from err


class PostQuantumSigner:
    """An ML-DSA-44 private key in this process's memory."""

    __slots__ = ("_private", "public")

    def __init__(self, private: MLDSA44PrivateKey) -> None:
        self._private = private
        self.public = PostQuantumKey(private.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """The 2,420 bytes of a signature over `data`."""
        return self._private.sign(data)


def post_quantum_signer(path: Path) -> PostQuantumSigner:
    """The key in a PKCS #8 PEM file of its owner's, which is made when there is none.

    Raises:
        SigningError: it cannot be read or made, is open to others, or is another kind of key.
    """
    try:
        if not path.exists():
            pem = MLDSA44PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            files.make_folder(path.parent)
            write_secret(path, pem)
        loaded = serialization.load_pem_private_key(read_secret(path), password=None)
    except (OSError, ValueError, UnsupportedAlgorithm) as err:
        raise SigningError(f"the ML-DSA-44 key {path} cannot be used: {err}") from err
    if not isinstance(loaded, MLDSA44PrivateKey):
        raise SigningError(f"the key {path} is not ML-DSA-44")
    return PostQuantumSigner(loaded)


def memory_post_quantum_signer(seed: bytes | None = None) -> PostQuantumSigner:
    """A key for tests and witnesses; the same one for the same 32-byte seed."""
    if seed is None:
        return PostQuantumSigner(MLDSA44PrivateKey.generate())
    return PostQuantumSigner(MLDSA44PrivateKey.from_seed_bytes(seed))
