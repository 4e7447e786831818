"""The box a content is sealed in: compressed alone, padded, encrypted, and committed to.

::

    box    = nonce (16) || key commitment (32) || AES-256-GCM (IV of zeros, key: content key)
    inside = how (1: 0 as it is, 1 zstd) || length (4, big-endian) || data || zeros

zstd is RFC 8878 with `dictionary.txt` beside this file as raw content before the data. It holds
the words of the format itself, never anybody's text, and belongs to version 2: it never changes.

* The content key is derived from the run key and the nonce, so that one content can be disclosed
  by its key without another. AES-GCM alone opens under more than one key; the key commitment
  holds a box to one, and so to one content.
* Equal contents give different boxes, and without the run key nobody can try a guess. When the
  run key is destroyed, every box and every tag under it is noise.
* The length is rounded up as PADMÉ does (at most 12 % more), 64 at least, after compression:
  what a box gives away is that, and nothing finer.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from permissions.errors import TraceError, TraceIntegrityError

MAX_CONTENT: Final = 16 * 1024 * 1024
NONCE_BYTES: Final = 16
TAG_BYTES: Final = 16
_COMMITMENT_BYTES: Final = 32
_HEAD_BYTES: Final = 5
_LEAST: Final = 64
_LEVEL: Final = 3
_CONTENT_KEY: Final = b"wardline/v2 content key\x00"
_KEY_COMMITMENT: Final = b"wardline/v2 key commitment\x00"
_TAG_KEY: Final = b"wardline/v2 tag key\x00"
_NO_IV: Final = bytes(12)
_BLOCK_BYTES: Final = 64
_INNER: Final = bytes(each ^ 0x36 for each in range(256))
_OUTER: Final = bytes(each ^ 0x5C for each in range(256))


class Box(NamedTuple):
    """The three parts of a sealed content."""

    nonce: bytes
    commitment: bytes
    ciphertext: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Box:
        """Takes a box apart.

        Raises:
            TraceIntegrityError: it is too short to be one.
        """
        head = NONCE_BYTES + _COMMITMENT_BYTES
        if len(raw) < head + _LEAST + 16:
            raise TraceIntegrityError("a sealed content is cut short")
        return cls(raw[:NONCE_BYTES], raw[NONCE_BYTES:head], raw[head:])

    def is_of(self, content_key: bytes) -> bool:
        """Whether this is the key it is sealed with."""
        return hmac.compare_digest(_committed(content_key), self.commitment)

    def open(self, content_key: bytes, bound: bytes) -> bytes:
        """The content.

        Args:
            content_key: the one that `is_of` holds for.
            bound: what it was bound to when it was sealed.

        Raises:
            TraceIntegrityError: it was altered, or sealed somewhere else.
        """
        try:
            inside = AESGCM(content_key).decrypt(_NO_IV, self.ciphertext, bound)
        except (InvalidTag, ValueError) as err:
            raise TraceIntegrityError("a sealed content does not open with its key") from err
        return _unpacked(inside)


class _Hmac:
    """HMAC-SHA-256 (RFC 2104) under one key, whose two blocks are hashed once."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """`key` is 32 bytes."""
        block = key.ljust(_BLOCK_BYTES, b"\x00")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def digest(self, data: bytes) -> bytes:
        """The code of `data`, 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()


class RunKey:
    """The key of one run for a kind: seals contents, and tags what may be told to be equal."""

    __slots__ = ("_keys", "_tags")

    def __init__(self, raw: bytes) -> None:
        """`raw` is 32 secret bytes."""
        self._keys = _Hmac(raw)
        self._tags = _Hmac(self._keys.digest(_TAG_KEY))

    def content_key(self, nonce: bytes) -> bytes:
        """The key of the one content that was sealed with this nonce."""
        return self._keys.digest(_CONTENT_KEY + nonce)

    def seal(self, data: bytes, *, nonce: bytes, bound: bytes) -> bytes:
        """A box; `nonce` is used once.

        Raises:
            TraceError: it is larger than 16 MiB.
        """
        if len(data) > MAX_CONTENT:
            raise TraceError(f"a content of {len(data)} bytes is larger than {MAX_CONTENT}")
        key = self.content_key(nonce)
        sealed = AESGCM(key).encrypt(_NO_IV, _packed(data), bound)
        return nonce + _committed(key) + sealed

    def tag(self, name: str, data: bytes) -> bytes:
        """Sixteen bytes that are equal for equal `data` under one name in one run.

        Nobody without the run key can say of what they are.
        """
        return self._tags.digest(name.encode() + b"\x00" + data)[:TAG_BYTES]


def padded(length: int) -> int:
    """The length a packed content is filled up to (PADMÉ, 64 at least)."""
    if length <= _LEAST:
        return _LEAST
    exponent = length.bit_length() - 1
    step = (1 << (exponent - exponent.bit_length())) - 1
    return (length + step) & ~step


def _packed(data: bytes) -> bytes:
    how, body = 0, data
    if _HEAD_BYTES + len(data) > _LEAST:
        smaller = _of_this_thread().compress(data)
        if len(smaller) < len(data):
            how, body = 1, smaller
    head = bytes((how,)) + len(body).to_bytes(4, "big")
    length = len(head) + len(body)
    return b"".join((head, body, bytes(padded(length) - length)))


def _unpacked(inside: bytes) -> bytes:
    how, length = inside[0], int.from_bytes(inside[1:_HEAD_BYTES], "big")
    body, rest = inside[_HEAD_BYTES : _HEAD_BYTES + length], inside[_HEAD_BYTES + length :]
    if len(body) != length or rest.strip(b"\x00"):
        raise TraceIntegrityError("a sealed content is not packed as it has to be")
    if how == 0:
        return body
    try:
        if how != 1 or not 0 <= zstandard.frame_content_size(body) <= MAX_CONTENT:
            raise TraceIntegrityError("a sealed content is packed in an unknown way")
        return _unpacker().decompress(body, max_output_size=MAX_CONTENT)
    except zstandard.ZstdError as err:
        raise TraceIntegrityError("a sealed content cannot be unpacked") from err


_threads = threading.local()


def _of_this_thread() -> zstandard.ZstdCompressor:
    """A compressor is made once per thread, and used by it alone."""
    try:
        found: zstandard.ZstdCompressor = _threads.compressor
    except AttributeError:
        found = _threads.compressor = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=_dictionary(), write_dict_id=False
        )
    return found


def _unpacker() -> zstandard.ZstdDecompressor:
    """Like the compressor."""
    try:
        found: zstandard.ZstdDecompressor = _threads.decompressor
    except AttributeError:
        found = _threads.decompressor = zstandard.ZstdDecompressor(dict_data=_dictionary())
    return found


@cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    words = Path(__file__).with_name("dictionary.txt").read_bytes()
    found = zstandard.ZstdCompressionDict(words, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    found.precompute_compress(level=_LEVEL)
    return found


def _committed(content_key: bytes) -> bytes:
    return hashlib.sha256(_KEY_COMMITMENT + content_key).digest()
