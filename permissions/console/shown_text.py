r"""Texts of agents, tools and policies as HTML in which nothing acts, hides or turns round.

Each character that would not show as itself is written as its `\uXXXX` escape (the rules of
`permissions.approval.text`) and marked as one; the rest is escaped for HTML. A line of ours
never holds a line break of theirs: only `block` has lines, and its escapes tell `\n` from one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup, escape

from permissions.approval.text import literal, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 2_000
"""Characters of one text that are shown until somebody asks for the whole."""
LEAVES = 60
"""Values of one argument that are."""
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")


class Shown(NamedTuple):
    """A text as HTML, and how many characters of it are left out."""

    html: Markup
    left_out: int = 0


def line(text: object, most: int = SHOWN) -> Markup:
    """A text on one line; what is cut ends with an ellipsis."""
    whole = str(text)
    cut = "…" if len(whole) > most else ""
    return marked(visible(whole[:most])) + cut


def block(text: str, *, whole: bool = False, most: int = SHOWN) -> Shown:
    """A text with its own lines."""
    part = text if whole else text[:most]
    html = Markup("\n").join(marked(visible(each)) for each in part.split("\n"))
    return Shown(html, len(text) - len(part))


def value(given: Any, *, whole: bool = False) -> Shown:
    """A JSON value on one line, as its JSON text: `json.loads` of it gives the value again."""
    if isinstance(given, str) and not whole and len(given) > SHOWN:
        return Shown(marked(literal(given[:SHOWN])[:-1]) + "…", len(given) - SHOWN)
    text = literal(given)
    part = text if whole else text[:SHOWN]
    return Shown(marked(part) + ("" if part == text else "…"), len(text) - len(part))


def leaves(given: Any, name: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each value in a JSON value that holds no others: as people name it, its pointer, itself."""
    yield from _leaves(given, name, "/" + _token(name) if name else "")


def _leaves(given: Any, name: str, pointer: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(given, dict) and given:
        for key, each in given.items():
            plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key) is not None
            dotted = f"{name}.{key}" if name else key
            named = dotted if plain else f"{name}[{json.dumps(key)}]"
            yield from _leaves(each, named, f"{pointer}/{_token(key)}")
    elif isinstance(given, list) and given:
        for at, each in enumerate(given):
            yield from _leaves(each, f"{name}[{at}]", f"{pointer}/{at}")
    else:
        yield name, pointer, given


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def marked(text: str) -> Markup:
    """A text without unseen characters, escaped for HTML, with its own escapes marked."""
    parts, at = [], 0
    for found in _ESCAPE.finditer(text):
        if found[0].startswith("\\u"):
            parts += [
                escape(text[at : found.start()]),
                Markup('<span class="esc">{}</span>').format(found[0]),
            ]
            at = found.end()
    return Markup("").join([*parts, escape(text[at:])])
