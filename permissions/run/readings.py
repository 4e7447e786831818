r"""What else a text says once it is read as it was written down. Pure.

Tools answer with texts that are JSON, a web page's source, the form of a link, or marked up.
There an address stands behind `\n`, as `&#64;` or `%40`, or between `**`, and whoever reads it
knows it all the same. So a text is looked at in these readings besides itself.

Not covered: other encodings (base64, quoted-printable), and more than three of these in one
another.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_READINGS: Final = 4
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_PARTS = re.compile(r"[=&?+]")
_SPACES = frozenset("nrtbfv")
_MARKUP = re.compile(r"(?<![^\s([{<\"'*_~])[*_~]+|[*_~]+(?![^\s)\]}>\"'.,;:!?*_~])")


def readings_of(text: str) -> Iterator[str]:
    """The further readings of a text, each other than those before; none of a plain one."""
    seen = {text}
    said = text
    for _ in range(MOST_READINGS):
        read = _read(said)
        if read in seen:
            return
        seen.add(read)
        yield read
        said = read


def _read(text: str) -> str:
    if "\\" in text:
        return _ESCAPE.sub(_plain, text)
    if "&" in text and (read := html.unescape(text)) != text:
        return read
    if "%" in text and (read := unquote(text)) != text:
        return _PARTS.sub(" ", read)
    return _MARKUP.sub(" ", text)


def _plain(found: re.Match[str]) -> str:
    if code := found[1] or found[2]:
        char = chr(int(code, 16))
        return "\ufffd" if "\ud800" <= char <= "\udfff" else char
    return " " if found[3] in _SPACES else found[3]
