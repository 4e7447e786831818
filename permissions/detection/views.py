"""Other readings of a text, for what is hidden from a search by its form alone.

* *folded*: without characters that have no shape (zero-width, bidi, soft hyphens), letters in
  their plain form (full-width, mathematical);
* *unbroken*: a word that goes on in the next line is one word;
* *decoded*: what base64, hex or percent escapes say, twice at most.

Each view knows which characters of the text its own came from. Bounded: all views of a text
together are a few times as long as it. Not protected from: letters of other alphabets that look
alike, words spelt out or reversed, encryption, archives.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import re2

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH: Final = 2
MAX_RUNS: Final = 2000
"""Encoded runs of one text that are decoded."""
_LEAST: Final = 8

_BREAK = re.compile(r"(?<=[A-Za-z0-9_+/=.-])[ \t]*\r?\n[ \t]*(?=[A-Za-z0-9_+/=.-])")
_SHORTEST_RUN: Final = 20
_RUN = re2.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re2.compile(r"(?:[0-9A-Fa-f]{2}[ :]?){12,}")
_PERCENT = re2.compile(r"[A-Za-z0-9._~+/=-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9._~+/=-]*)+")
_URL_SAFE = str.maketrans("-_", "+/")


class View(NamedTuple):
    """A reading of a text, and where its pieces stand there."""

    text: str
    starts: tuple[int, ...]
    """Where each piece begins in this view."""
    origins: tuple[int, ...]
    """Where it begins in the text; a piece goes on in step with it."""
    whole: tuple[int, int] | None = None
    """The characters of the text that all of it stands for, when they cannot be told apart."""
    is_broken: bool = False
    """Whether lines were joined, so that only forms that cannot come about by that count."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the text that some of this view stand for."""
        if self.whole is not None:
            return self.whole
        return self._origin(start), self._origin(end - 1) + 1

    def _origin(self, at: int) -> int:
        piece = bisect_right(self.starts, at) - 1
        return self.origins[piece] + at - self.starts[piece]


def plain(text: str) -> View:
    """The text as it is."""
    return View(text, (0,), (0,))


def views(text: str) -> Iterator[View]:
    """The text, and every other reading that differs from it."""
    yield (first := plain(text))
    folded = first if _is_plain(text) else _folded(text)
    if folded is not first:
        yield folded
    unbroken = _unbroken(folded)
    if unbroken is not None:
        yield unbroken
    yield from _decoded(unbroken or folded, 1)


def _is_plain(text: str) -> bool:
    if text.isascii():
        return True
    return unicodedata.is_normalized("NFKC", text) and not any(map(_is_shapeless, set(text)))


def _is_shapeless(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or char in _SHAPELESS


_SHAPELESS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
)
"""Without a shape, and of another category than the others."""


def _folded(text: str) -> View:
    said: list[str] = []
    starts: list[int] = []
    origins: list[int] = []
    length, expected = 0, -1
    forms: dict[str, str] = {}
    for at, char in enumerate(text):
        if (form := forms.get(char)) is None:
            form = forms[char] = (
                "" if _is_shapeless(char) else unicodedata.normalize("NFKC", char)
            )
        if not form:
            expected = -1
            continue
        for each in form:
            if at != expected:
                starts.append(length)
                origins.append(at)
            said.append(each)
            length += 1
            expected = at + 1
    return View("".join(said), tuple(starts) or (0,), tuple(origins) or (0,))


def _unbroken(view: View) -> View | None:
    if "\n" not in view.text:
        return None
    pieces: list[str] = []
    starts: list[int] = []
    origins: list[int] = []
    length = at = 0
    for gap in _BREAK.finditer(view.text):
        length = _add(view, (at, gap.start()), length, (pieces, starts, origins))
        at = gap.end()
    if not pieces:
        return None
    _add(view, (at, len(view.text)), length, (pieces, starts, origins))
    return View("".join(pieces), tuple(starts), tuple(origins), is_broken=True)


def _add(
    view: View,
    part: tuple[int, int],
    length: int,
    into: tuple[list[str], list[int], list[int]],
) -> int:
    """Copies a part of a view, with its pieces; gives the length by then."""
    start, end = part
    pieces, starts, origins = into
    first = bisect_right(view.starts, start) - 1
    for piece in range(max(first, 0), len(view.starts)):
        begins = max(view.starts[piece], start)
        if begins >= end:
            break
        starts.append(length + begins - start)
        origins.append(view.origins[piece] + begins - view.starts[piece])
    pieces.append(view.text[start:end])
    return length + end - start


def _decoded(view: View, depth: int) -> Iterator[View]:
    if len(view.text) < _SHORTEST_RUN and "%" not in view.text:
        return
    for number, (start, end, said) in enumerate(_encoded(view.text)):
        if number >= MAX_RUNS:
            return
        inner = View(said, (0,), (0,), whole=view.span(start, end))
        yield inner
        if depth < MAX_DEPTH:
            yield from _decoded(inner, depth + 1)


def _encoded(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _RUN.finditer(text):
        run = match[0].rstrip("=").translate(_URL_SAFE)
        for skipped in range(4):  # what stands before it may have been joined to it
            cut = run[skipped : skipped + (len(run) - skipped) // 4 * 4]
            rest = run[skipped + len(cut) :]
            if len(rest) > 1:
                cut += rest + "=" * (4 - len(rest))
            if (said := _text(_from_base64(cut))) is not None:
                yield match.start() + skipped, match.end(), said
                break
    for match in _HEX.finditer(text):
        digits = "".join(re.findall(r"[0-9A-Fa-f]", match[0]))
        if (said := _text(bytes.fromhex(digits[: len(digits) // 2 * 2]))) is not None:
            yield match.start(), match.end(), said
    if "%" in text:
        for match in _PERCENT.finditer(text):
            if (said := _text(unquote_to_bytes(match[0]))) is not None:
                yield match.start(), match.end(), said


def _from_base64(run: str) -> bytes:
    try:
        return base64.b64decode(run, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _text(data: bytes) -> str | None:
    """The text that bytes are, when they are one."""
    if len(data) < _LEAST:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    odd = sum(not (char.isprintable() or char in "\r\n\t") for char in text)
    return text if odd * 20 <= len(text) else None
