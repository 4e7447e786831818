"""Ed25519 keys (RFC 8032): public keys, and private keys in files or in memory.

Keys that are named by a URI, wherever they are kept, are loaded by `signing.key_uris`.

A `keyid` is the SHA-256 of the raw public key. It is a hint for people and for lookups: no
signature is ever accepted because a keyid matches, only because a pinned key verifies it.

Not protected from: whoever reads the key file, or the memory of this process, can sign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from permissions import files
from permissions.errors import SigningError

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32
MAX_KEY_FILE = 16 * 1024
_SHARED = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key; `raw` is its 32 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        """Raises `SigningError` unless there are 32 bytes."""
        if len(self.raw) != KEY_BYTES:
            raise SigningError(f"an Ed25519 public key has 32 bytes, not {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Reads base64 of the 32 bytes, or a PEM `PUBLIC KEY`.

        Raises:
            SigningError: it is neither, or not Ed25519.
        """
        text = text.strip()
        try:
            if text.startswith("-----BEGIN"):
                loaded = serialization.load_pem_public_key(text.encode())
                if not isinstance(loaded, Ed25519PublicKey):
                    raise SigningError("the public key is not Ed25519")
                return cls(loaded.public_bytes_raw())
            return cls(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error, UnsupportedAlgorithm) as err:
            raise SigningError("not a public key; give base64 of 32 bytes, or PEM") from err

    @classmethod
    def read(cls, path: Path) -> PublicKey:
        """Reads a public key file, in either form of `parse`.

        Raises:
            SigningError: the file cannot be read or holds no Ed25519 public key.
        """
        try:
            return cls.parse(path.read_bytes()[:MAX_KEY_FILE].decode())
        except (OSError, UnicodeDecodeError) as err:
            raise SigningError(f"the public key {path} cannot be read: {err}") from err

    @property
    def keyid(self) -> str:
        """SHA-256 of the raw key, 64 lower-case hex digits."""
        return hashlib.sha256(self.raw).hexdigest()

    def __str__(self) -> str:
        """Base64 of the raw key, the form `parse` reads."""
        return base64.b64encode(self.raw).decode()

    def verify(self, signature: bytes, data: bytes) -> None:
        """Checks one signature.

        Raises:
            SigningError: it is not this key's signature of `data`.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature as err:
            raise SigningError(f"not a signature by key {self.keyid[:16]}") from err


class Signer(Protocol):
    """An Ed25519 private key, wherever it is kept."""

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        ...

    @property
    def keyid(self) -> str:
        """The public key's id."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of a signature over `data`.

        Raises:
            SigningError: the key is not in this process, and does not answer.
        """
        ...


class MemorySigner:
    """An Ed25519 private key in this process's memory."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    @property
    def keyid(self) -> str:
        """The public key's id."""
        return self.public.keyid

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of a signature over `data`."""
        return self._private.sign(data)

    def pem(self) -> bytes:
        """The private key as unencrypted PKCS #8 PEM. A secret."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def memory_signer(seed: bytes | None = None) -> MemorySigner:
    """A throw-away key for tests and demos; the same one for the same 32-byte seed."""
    if seed is None:
        return MemorySigner(Ed25519PrivateKey.generate())
    return MemorySigner(Ed25519PrivateKey.from_private_bytes(seed))


def generate(path: Path) -> MemorySigner:
    """Makes a key: `path` (0600) for the private half, `path`.pub for the public one.

    Raises:
        SigningError: one of the halves is there already (none is ever overwritten), or they
            cannot be written.
    """
    signer = MemorySigner(Ed25519PrivateKey.generate())
    if public_half(path).exists() and not path.exists():
        raise SigningError(
            f"the key {path} is gone, its public half is still there; put it back from a copy,"
            f" or move {public_half(path)} away to make another"
        )
    try:
        files.make_folder(path.parent)
        write_secret(path, signer.pem())
        write_public_half(path, signer)
    except FileExistsError as err:
        raise SigningError(f"the key {path} exists; move it away to make another") from err
    except OSError as err:
        raise SigningError(f"the key {path} cannot be written: {err}") from err
    return signer


def public_half(path: Path) -> Path:
    """The file of the public key that belongs to the private key in `path`."""
    return path.with_name(path.name + ".pub")


def write_public_half(path: Path, signer: Signer) -> None:
    """Writes the public key beside the private one, unless it is there.

    A machine that lost power between the two files has the private one alone.

    Raises:
        OSError: it cannot be written.
    """
    if not public_half(path).exists():
        files.replace(public_half(path), f"{signer.public}\n".encode(), mode=0o644)


def read_secret(path: Path) -> bytes:
    """The bytes of a secret file.

    Raises:
        SigningError: it is missing, not a plain file, or open to group or others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise SigningError(f"the key {path} is not a plain file")
            if mode & _SHARED:
                raise SigningError(
                    f"the key {path} is open to others (mode {stat.S_IMODE(mode):04o});"
                    f" run: chmod 600 {path}"
                )
            return file.read(MAX_KEY_FILE)
    except OSError as err:
        raise SigningError(f"the key {path} cannot be read: {err.strerror}") from err


def write_secret(path: Path, data: bytes) -> None:
    """Writes a new secret file, readable by its owner only, whole or not at all.

    Raises:
        OSError: it exists already, or cannot be written.
    """
    files.create(path, data)


def signer_from_pem(data: bytes, *, named: str) -> MemorySigner:
    """The key of an unencrypted PKCS #8 PEM text; `named` says to people where it is from.

    Raises:
        SigningError: it is no such text, or no Ed25519 key.
    """
    try:
        loaded = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise SigningError(f"{named} holds no unencrypted PKCS #8 PEM key") from err
    if not isinstance(loaded, Ed25519PrivateKey):
        raise SigningError(f"the key {named} is not Ed25519")
    return MemorySigner(loaded)
