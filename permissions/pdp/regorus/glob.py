r"""OPA's `glob.match` (the gobwas matcher) as RE2 expressions.

`**` crosses delimiters anywhere, `*` and `?` do not; `[abc]`, `[!a-z]`, `{one,two}` and `\`
mean what they do there. regorus maps patterns onto another matcher, in which `**.pem` misses
`a/b.pem` (a deny rule would fail open) and `:` is no delimiter.

RE2 matches in linear time, so no pattern can be made to hang on a chosen text.

Patterns on which gobwas itself is wrong or surprising are refused: `***`, `*` beside `?`,
a group beside a group, special characters in a class, and `?` or a class beside non-ASCII
text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2

_QUIRKS = re.compile(r"\*\*\*|\*\?|\?\*|\}\{")
_PIECES = re.compile(r"\\.|\*\*|\[[^\]]*\]|.", re.DOTALL)
_RANGE = re.compile(r"(.)-(.)", re.DOTALL)
_CLASS_SPECIALS = frozenset("[{}*?\\,!-^")


def glob_matches(pattern: str, delimiters: list[str] | None, text: str) -> bool:
    """Whether `text` matches, as `glob.match(pattern, delimiters, text)` of OPA.

    Raises:
        ValueError: the pattern is outside the subset both engines agree on.
    """
    chosen = () if delimiters is None else tuple(delimiters) or (".",)
    if not text.isascii() and _picks_characters(pattern):
        raise ValueError("`?` and classes are only agreed on for ASCII text")
    return compile_glob(pattern, chosen).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def compile_glob(pattern: str, delimiters: tuple[str, ...]) -> Any:
    """The RE2 program of a pattern.

    Raises:
        ValueError: the pattern is outside the subset both engines agree on.
    """
    if _QUIRKS.search(pattern):
        raise ValueError("`***`, `*?`, `?*` and `}{` are not agreed on")
    if not pattern.isascii() and _picks_characters(pattern):
        raise ValueError("`?` and classes are only agreed on in ASCII patterns")
    if any(len(delimiter) != 1 for delimiter in delimiters):
        raise ValueError("a delimiter is one character")
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    return re2.compile(_expression(pattern, delimiters), options)


def _picks_characters(pattern: str) -> bool:
    return "?" in pattern or "[" in pattern


def _expression(pattern: str, delimiters: tuple[str, ...]) -> str:
    one = f"[^{''.join(map(_quoted, delimiters))}]" if delimiters else "."
    out: list[str] = []
    depth = 0
    for found in _PIECES.finditer(pattern):
        piece = found.group()
        if piece == "{":
            depth += 1
        elif piece == "}":
            depth -= 1
            if depth < 0:
                raise ValueError("an unopened '}'")
        out.append(_translated(piece, one, in_group=depth > 0))
    if depth:
        raise ValueError("an unclosed '{'")
    return "".join(out)


def _translated(piece: str, one: str, *, in_group: bool) -> str:
    plain = {"**": ".*", "*": one + "*", "?": one, "{": "(?:", "}": ")"}.get(piece)
    if plain is not None:
        return plain
    if piece == "," and in_group:
        return "|"
    if piece in ("\\", "[", "]"):
        raise ValueError(f"a {piece!r} without its other half")
    if len(piece) > 1:
        return _class(piece[1:-1]) if piece[0] == "[" else _quoted(piece[1])
    return _quoted(piece)


def _class(body: str) -> str:
    negated = "^" if body.startswith("!") else ""
    chars = body[len(negated) :]
    if span := _RANGE.fullmatch(chars):
        low, high = span.groups()
        if low <= high and not {low, high} & _CLASS_SPECIALS:
            return f"[{negated}{_quoted(low)}-{_quoted(high)}]"
    elif chars and not set(chars) & _CLASS_SPECIALS:
        return f"[{negated}{''.join(map(_quoted, chars))}]"
    raise ValueError("a class is one range or a list of plain characters")


def _quoted(char: str) -> str:
    return f"\\x{{{ord(char):x}}}"
