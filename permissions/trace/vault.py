"""Contents: committed to in the entry, sealed beside it, opened only with the vault's key.

* The commitment is HMAC-SHA256(salt, path || 0x00 || bytes) under a fresh 32-byte salt, so
  nobody can guess at short contents, and one content can be disclosed without another.
* The sealed form is AES-256-GCM over salt || bytes, under a random key per run. Run keys are
  wrapped (RFC 3394) by one key-encryption key, in a file of their own: destroying a run's
  line there erases its contents for good, and no proof over the log changes.
* What stands in the open is the size, rounded up to a power of two.

The sealed line gives the exact size away; leave sealed lines out when you hand on a log. Who
holds the key-encryption key and the files can read everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from permissions.errors import SigningError, TraceError, TraceIntegrityError
from permissions.files import make_folder
from permissions.signing.keys import read_secret, write_secret
from permissions.trace import codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS_FILE = "vault.keys"
MAX_CONTENT = 16 * 1024 * 1024
MAX_SEALED_LINE = MAX_CONTENT * 4 // 3 + 4096
_KEY_BYTES = 32
_SALT_BYTES = 32
_NONCE_BYTES = 12
_KEYID_BYTES = 8


class VaultKeyError(TraceError):
    """The key-encryption key at hand is not the one a content is sealed under."""


class SealedContent(NamedTuple):
    """What the entry says of a content under its name, and the line that follows it."""

    facts: dict[str, str | int]
    line: bytes


def commit(salt: bytes, path: str, data: bytes) -> str:
    """The salted commitment to `data` at `path`, 64 hex digits."""
    return hmac.digest(salt, b"%b\x00%b" % (path.encode(), data), "sha256").hex()


def size_bucket(length: int) -> int:
    """The length rounded up to a power of two, 64 at least."""
    return max(64, 1 << max(length - 1, 0).bit_length())


def make_kek(path: Path, *, random: Callable[[int], bytes] = os.urandom) -> None:
    """Makes the key-encryption key of a new log (32 bytes, file 0600), unless it is there.

    Keep it away from the log and its backups: the log without it discloses nothing.

    Raises:
        SigningError: it cannot be made.
    """
    try:
        make_folder(path.parent)
        write_secret(path, random(_KEY_BYTES))
    except FileExistsError:
        pass  # another process was first
    except OSError as err:
        raise SigningError(f"the vault's key {path} cannot be made: {err}") from err


def load_kek(path: Path) -> bytes:
    """Reads the key-encryption key.

    Raises:
        SigningError: it is not there, cannot be read, is open to others, or is not 32 bytes.
    """
    kek = read_secret(path)
    if len(kek) != _KEY_BYTES:
        raise SigningError(f"the vault's key {path} is not 32 bytes")
    return kek


class Vault:
    """Seals the contents of a log that is being written."""

    def __init__(self, kek: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._kek = kek
        self._kek_id = _kek_id(kek)
        self._random = random
        self._run_keys: dict[str, tuple[str, AESGCM]] = {}
        self._fresh: list[bytes] = []

    def seal(self, data: bytes, *, origin: str, run: str, path: str) -> SealedContent:
        """Seals one content of an entry of `run`; `path` is its entry's type and its name.

        Raises:
            TraceError: it is larger than 16 MiB.
        """
        if len(data) > MAX_CONTENT:
            raise TraceError(f"a content of {len(data)} bytes is larger than {MAX_CONTENT}")
        keyid, cipher = self._run_keys.get(run) or self._new_key(run)
        fresh = self._random(_SALT_BYTES + _NONCE_BYTES)
        salt, nonce = fresh[:_SALT_BYTES], fresh[_SALT_BYTES:]
        sealed = cipher.encrypt(nonce, salt + data, _bound_to(origin, run, path))
        # Written by hand: all three values are known to need no escape.
        line = b'{"content":"%b","key":"%b","sealed":"%b"}' % (
            path.encode(),
            keyid.encode(),
            base64.b64encode(nonce + sealed),
        )
        facts: dict[str, str | int] = {
            "commitment": commit(salt, path, data),
            "sealed": hashlib.sha256(line).hexdigest(),
            "size": size_bucket(len(data)),
        }
        return SealedContent(facts, line)

    def take_fresh_keys(self) -> bytes:
        """Lines for the keys file, which must be durable before anything sealed with them."""
        lines = b"".join(self._fresh)
        self._fresh.clear()
        return lines

    def forget(self, run: str) -> None:
        """Drops the run's key from memory; should the run go on, it gets another."""
        self._run_keys.pop(run, None)

    def _new_key(self, run: str) -> tuple[str, AESGCM]:
        keyid, key = self._random(_KEYID_BYTES).hex(), self._random(_KEY_BYTES)
        document = {
            "kek": self._kek_id,
            "key": keyid,
            "run": run,
            "wrapped": base64.b64encode(aes_key_wrap(self._kek, key)).decode(),
        }
        self._fresh.append(codec.encode(document) + b"\n")
        self._run_keys[run] = keyid, AESGCM(key)
        return self._run_keys[run]


def mend_keys(descriptor: int) -> int:
    """Makes an open keys file end with a whole line, and gives its size.

    A line that power or room cut off was never used: what it would have sealed was written
    after it, if at all. Left there, the next line would be joined to it and lost.

    Raises:
        OSError: it cannot be read, or mended.
    """
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, size, 0)
    end = data.rfind(b"\n") + 1
    if end == size:
        return size
    try:
        codec.decode(data[end:])
    except TraceError:
        os.ftruncate(descriptor, end)
        return end
    os.write(descriptor, b"\n")  # whole, but for its newline: an editor left it so
    return size + 1


class VaultReader:
    """Opens sealed contents beside a log; without a key-encryption key, only says which could be."""

    def __init__(self, directory: Path, kek: bytes | None) -> None:
        self._kek = kek
        self._kek_id = None if kek is None else _kek_id(kek)
        self._wrapped = _read_keys(directory / KEYS_FILE)
        self._ciphers: dict[str, AESGCM] = {}

    def open(self, line: bytes, *, origin: str, run: str, path: str, commitment: str) -> bytes:
        """The content, checked against the commitment in its entry.

        Raises:
            TraceIntegrityError: the line is malformed or altered, or holds something else
                than what was committed to.
            VaultKeyError: its key is wrapped by a key-encryption key that is not at hand.
            TraceError: its key is not in the keys file any more.
        """
        try:
            document = codec.decode(line, limit=MAX_SEALED_LINE)
            keyid = document["key"]
            raw = base64.b64decode(document["sealed"], validate=True)
        except (TraceError, KeyError, TypeError, binascii.Error) as err:
            raise TraceIntegrityError("a sealed content is malformed") from err
        try:
            opened = self._cipher(keyid).decrypt(
                raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(origin, run, path)
            )
        except (InvalidTag, ValueError) as err:
            raise TraceIntegrityError("a sealed content does not open with its key") from err
        salt, data = opened[:_SALT_BYTES], opened[_SALT_BYTES:]
        if not hmac.compare_digest(commit(salt, path, data), commitment):
            raise TraceIntegrityError("a sealed content is not what was committed to")
        return data

    def _cipher(self, keyid: str) -> AESGCM:
        cipher = self._ciphers.get(keyid)
        if cipher is None:
            kek_id, wrapped = self._wrapped.get(keyid, (None, b""))
            if kek_id is None:
                raise TraceError(f"the key {keyid[:16]!r} of a sealed content is not there")
            if self._kek is None:
                raise VaultKeyError(f"the vault's key ({kek_id[:16]}) is not there")
            if kek_id != self._kek_id:
                raise VaultKeyError(
                    f"a content is sealed under another vault key ({kek_id[:16]})"
                )
            try:
                cipher = AESGCM(aes_key_unwrap(self._kek, wrapped))
            except (InvalidUnwrap, ValueError) as err:
                raise TraceIntegrityError(f"the key {keyid[:16]!r} was altered") from err
            self._ciphers[keyid] = cipher
        return cipher


def _read_keys(path: Path) -> dict[str, tuple[str, bytes]]:
    keys: dict[str, tuple[str, bytes]] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return keys
    for line in lines:
        try:
            document = codec.decode(line)
            keys[document["key"]] = document["kek"], base64.b64decode(document["wrapped"])
        except (TraceError, KeyError, TypeError, binascii.Error):
            continue  # torn or erased; what it sealed is reported where it is read
    return keys


def _kek_id(kek: bytes) -> str:
    return hashlib.sha256(b"wardline vault key\x00" + kek).hexdigest()[:16]


def _bound_to(origin: str, run: str, path: str) -> bytes:
    return f"{origin}\n{run}\n{path}".encode()
