"""Takes secrets out of bytes, in the forms in which programs happen to print them.

A secret is found as it is, in base64 (both alphabets, at each of the three alignments), in
hex, percent-encoded and JSON-escaped, whatever the case of the letters, and each of these with
line breaks in it, also as a JSON text spells
them. Each found byte becomes `*`, so lengths
stay right. A stream may be cut anywhere.

What it does not protect from: code that means to get a secret out and encodes it otherwise
(reversed, split otherwise, encrypted, compressed with zstd or brotli, an archive within an
archive). It must not have been given the secret at all. `CompressedWatch` sees through gzip,
zlib, bzip2 and xz.
"""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import re
import zlib
from bisect import bisect_right
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MASK = b"*"

MAX_BREAK = 4
"""Bytes of a line break, at most: both letters escaped."""
_BREAK = re.compile(rb"(?:\r|\n|\\r|\\n)+")


def spellings(secret: bytes) -> frozenset[bytes]:
    """Every form of the secret that is looked for, in lower case."""
    forms = {secret, secret.hex().encode(), secret.hex(" ").encode(), secret.hex(":").encode()}
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret)
        # Characters at the edges also carry bits of the neighbours: only the sure ones.
        first = (before * 8 + 5) // 6
        sure = whole[first : (before + len(secret)) * 8 // 6]
        forms |= {sure, sure.translate(bytes.maketrans(b"+/", b"-_"))}
    forms.add(b"".join(b"%%%02x" % byte for byte in secret))
    for safe in ("", "/", "-_.~!*'()", ";,/?:@&=+$-_.!~*'()#"):
        forms |= {quote(secret, safe=safe).encode(), quote_plus(secret, safe=safe).encode()}
    text = secret.decode("utf-8", "surrogateescape")
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for form in (escaped, escaped.replace("/", "\\/")):
            forms.add(form.encode("utf-8", "surrogateescape"))
    return frozenset(form.lower() for form in forms if form)


class Scrubber:
    """Masks a set of secrets; `bytes` and JSON whole, streams through `stream`."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        forms = {form for secret in secrets for form in spellings(secret)}
        self._forms = sorted(forms)
        self._longest = max(map(len, forms), default=0)

    @property
    def longest(self) -> int:
        """Length of the longest form, with breaks: what a stream has to hold back, less one."""
        return self._longest * (1 + MAX_BREAK)

    def mark(self, data: bytes, masked: bytearray) -> None:
        """Masks in `masked` whatever stands at the same position of `data`."""
        lower = data.lower()
        for form in self._forms:
            at = lower.find(form)
            while at >= 0:
                masked[at : at + len(form)] = MASK * len(form)
                at = lower.find(form, at + 1)
        if b"\n" in lower or b"\r" in lower or b"\\n" in lower or b"\\r" in lower:
            self._mark_broken(lower, masked)

    def _mark_broken(self, lower: bytes, masked: bytearray) -> None:
        """As `mark`, where a form has line breaks in it; these stay."""
        joined, starts, origins = bytearray(), [], []
        end = 0
        for part in (*_BREAK.finditer(lower), None):
            begin = len(lower) if part is None else part.start()
            if begin > end:
                starts.append(len(joined))
                origins.append(end)
                joined += lower[end:begin]
            end = begin if part is None else part.end()
        for form in self._forms:
            at = joined.find(form)
            while at >= 0:
                for index in range(at, at + len(form)):
                    piece = bisect_right(starts, index) - 1
                    masked[origins[piece] + index - starts[piece]] = MASK[0]
                at = joined.find(form, at + 1)

    def is_in(self, data: bytes) -> bool:
        """Whether any form of a secret stands in the data."""
        return self.scrub(data) != data

    def scrub(self, data: bytes) -> bytes:
        """`data` with each secret masked."""
        masked = bytearray(data)
        self.mark(data, masked)
        return bytes(masked)

    def scrub_text(self, text: str) -> str:
        """As `scrub`, for text; other text comes back as it was."""
        data = text.encode("utf-8", "surrogatepass")
        scrubbed = self.scrub(data)
        return text if scrubbed == data else scrubbed.decode("utf-8", "replace")

    def scrub_json(self, value: Any) -> Any:
        """A JSON value with each string, and each name of a member, scrubbed."""
        if isinstance(value, str):
            return self.scrub_text(value)
        if isinstance(value, list):
            return [self.scrub_json(item) for item in value]
        if isinstance(value, dict):
            return {
                self.scrub_text(name): self.scrub_json(item) for name, item in value.items()
            }
        return value

    def stream(self) -> ScrubbedStream:
        """A scrubber for data that comes in pieces."""
        return ScrubbedStream(self)


class ScrubbedStream:
    """Scrubs a stream: gives back what cannot be the beginning of a secret any more."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._raw = b""
        self._masked = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Takes a piece; gives what is ready, which may be nothing."""
        self._raw += data
        self._masked += data
        self._scrubber.mark(self._raw, self._masked)
        held = max(self._scrubber.longest - 1, 0)
        ready = max(len(self._raw) - held, 0)
        out = bytes(self._masked[:ready])
        self._raw = self._raw[ready:]
        del self._masked[:ready]
        return out

    def close(self) -> bytes:
        """The rest, at the stream's end."""
        out = bytes(self._masked)
        self._raw, self._masked = b"", bytearray()
        return out


_PACKED: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(47),
    b"\x78\x01": lambda: zlib.decompressobj(47),
    b"\x78\x5e": lambda: zlib.decompressobj(47),
    b"\x78\x9c": lambda: zlib.decompressobj(47),
    b"\x78\xda": lambda: zlib.decompressobj(47),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": lambda: lzma.LZMADecompressor(memlimit=64 * 1024 * 1024),
}
MAX_UNPACKED = 1024 * 1024 * 1024
"""Bytes of one body that are looked at; one that holds more is refused."""
_STEP = 1024 * 1024


class CompressedWatch:
    """Looks into a body that nobody said is compressed, and holds back what was not looked at.

    A piece is given out when the one after it was looked into, so that no part of a secret
    leaves before the whole of it is found.
    """

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._engine: Any = None
        self._begun = b""
        self._is_known = scrubber.longest == 0
        self._tail = b""
        self._waiting = b""
        self._unpacked = 0

    def feed(self, data: bytes) -> bytes:
        """Takes a piece; gives what may go on.

        Raises:
            SecretFoundError: there is a secret in it, or too much to look into.
        """
        if not self._is_known:
            self._begun += data
            if len(self._begun) < _MAGIC:
                return b""
            data, self._begun = self._begun, b""
            self._decide(data)
        if self._engine is None:
            return data
        self._look(data)
        out, self._waiting = self._waiting, data
        return out

    def close(self) -> bytes:
        """The rest, at the body's end."""
        out = self._waiting + self._begun
        self._waiting = self._begun = b""
        return out

    def _decide(self, data: bytes) -> None:
        self._is_known = True
        for magic, engine in _PACKED.items():
            if data.startswith(magic):
                self._engine = engine()

    def _look(self, data: bytes) -> None:
        while True:
            try:
                plain = self._engine.decompress(data, _STEP)
            except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError):
                self._engine = None  # it only began like one
                return
            self._unpacked += len(plain)
            seen = self._tail + plain
            if self._unpacked > MAX_UNPACKED or self._scrubber.is_in(seen):
                raise SecretFoundError
            self._tail = seen[-self._scrubber.longest :]
            data = getattr(self._engine, "unconsumed_tail", b"")
            if not data and (len(plain) < _STEP or getattr(self._engine, "needs_input", True)):
                return


_MAGIC = 6


class SecretFoundError(Exception):
    """A compressed body holds a secret, which cannot be masked in it."""
