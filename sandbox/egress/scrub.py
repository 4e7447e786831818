"""Takes secrets out of bytes, in the forms in which programs happen to print them.

A secret is found as it is, in base64 (both alphabets, at each of the three alignments), in
hex, percent-encoded and JSON-escaped, whatever the case of the letters. Each found byte becomes
`*`, so lengths stay right. A stream may be cut anywhere.

What it does not protect from: code that means to get a secret out and encodes it otherwise
(reversed, split, compressed, encrypted). It must not have been given the secret at all.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = b"*"


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
        """Length of the longest form: what a stream has to hold back, less one."""
        return self._longest

    def mark(self, data: bytes, masked: bytearray) -> None:
        """Masks in `masked` whatever stands at the same position of `data`."""
        lower = data.lower()
        for form in self._forms:
            at = lower.find(form)
            while at >= 0:
                masked[at : at + len(form)] = MASK * len(form)
                at = lower.find(form, at + 1)

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
