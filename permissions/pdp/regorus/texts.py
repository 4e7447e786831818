"""OPA's builtins on text, where the embedded engine decides otherwise or has none.

Lone surrogates, which Python's texts may hold, would kill the engine: every function here
returns parts of what it was given, or of what decodes as UTF-8.
"""

from __future__ import annotations

import base64
import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BASE64 = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII
)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_UUID = re.compile(
    r"(?:urn:uuid:|\{)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?|[0-9a-f]{32}",
    re.IGNORECASE,
)


def lower(text: str) -> str:
    """Character by character, as Go: no final sigma, and `İ` becomes `i`."""
    if text.isascii():
        return text.lower()
    return _whole("".join("i" if c == "İ" else c.lower() for c in text))


def upper(text: str) -> str:
    """Character by character, as Go: what has no upper case of one character stays."""
    if text.isascii():
        return text.upper()
    return _whole("".join(map(_upper_of, text)))


def _upper_of(char: str) -> str:
    return next((c for c in (char.upper(), char.title()) if len(c) == 1), char)


def count(text: str, part: str) -> int:
    """`strings.count`: without overlaps."""
    return text.count(part)


def length(value: Any) -> int:
    """`count`, of a text in characters."""
    if isinstance(value, (str, list, dict, set)):
        return len(value)
    raise TypeError("nothing to count")


def replace_n(pairs: dict[str, str], text: str) -> str:
    """`strings.replace_n`: at each position the first key in order, and what is put in stays."""
    if not all(isinstance(each, str) for pair in pairs.items() for each in pair):
        raise TypeError("keys and values are texts")
    if "" in pairs and not text.isascii():
        raise ValueError("an empty key is only agreed on for ASCII text")
    keys = sorted(pairs)
    out: list[str] = []
    at = last = 0
    was_empty = False
    while at <= len(text):
        key = next(
            (k for k in keys if text.startswith(k, at) and not (k == "" and was_empty)), None
        )
        was_empty = key == ""
        if key is None:
            at += 1
            continue
        out += [text[last:at], pairs[key]]
        at += len(key)
        last = at
    return "".join((*out, text[last:]))


def indexof(text: str, part: str) -> int:
    """`indexof`: the first position in characters, or -1. OPA finds nothing in an empty part."""
    if not part:
        raise ValueError("nothing to look for")
    return text.find(part)


def indexof_n(text: str, part: str) -> list[int]:
    """`indexof_n`: every position, overlapping ones too."""
    if not part:
        raise ValueError("nothing to look for")
    return [at for at in range(len(text)) if text.startswith(part, at)]


def replace(text: str, old: str, new: str) -> str:
    """`replace`: every occurrence. With nothing to look for OPA tears characters into bytes."""
    if not old:
        raise ValueError("nothing to look for")
    return text.replace(old, new)


def split_n(text: str, delimiter: str, limit: int) -> list[str]:
    """`strings.split_n`: the first `limit` parts, or the last when it is negative."""
    if type(limit) is not int:
        raise TypeError("the limit is an integer")
    parts = text.split(delimiter) if delimiter else list(text)
    if limit >= 0 and not delimiter:
        # Go leaves the rest in one part, of which no more than `limit` are kept.
        return parts[:limit]
    return parts[:limit] if limit >= 0 else parts[max(len(parts) + limit, 0) :]


def substring(text: str, start: Any, size: Any) -> str:
    """`substring`: `size` characters from `start`, all of them when it is negative."""
    if type(start) is not int or type(size) is not int or start < 0:
        raise ValueError("start and size are integers, and the start is not negative")
    return text[start:] if size < 0 else text[start : start + size]


def query_encode(text: str) -> str:
    """`urlquery.encode`: Go's `QueryEscape`."""
    return quote(text, safe=" ").replace(" ", "+")


def query_decode(text: str) -> str:
    """`urlquery.decode`: Go's `QueryUnescape`."""
    if _ESCAPES.search(text):
        raise ValueError("a `%` without its two digits")
    return unquote_to_bytes(text.replace("+", " ")).decode()


def query_encode_object(values: dict[str, Any]) -> str:
    """`urlquery.encode_object`: names in order, values of one name in theirs."""
    pairs: list[str] = []
    for name in sorted(values):
        given = values[name]
        every = sorted(given) if isinstance(given, set) else given
        every = [every] if isinstance(every, str) else every
        if not isinstance(every, list) or not all(isinstance(each, str) for each in every):
            raise TypeError("values are texts, or arrays or sets of them")
        pairs += [f"{query_encode(name)}={query_encode(each)}" for each in every]
    return "&".join(pairs)


def query_decode_object(text: str) -> dict[str, list[str]]:
    """`urlquery.decode_object`: Go's `ParseQuery`."""
    found: dict[str, list[str]] = {}
    for pair in filter(None, text.split("&")):
        if ";" in pair:
            raise ValueError("a semicolon")
        name, _, value = pair.partition("=")
        found.setdefault(query_decode(name), []).append(query_decode(value))
    return found


def base64_decode(text: str) -> str:
    """`base64.decode`, of what decodes to UTF-8."""
    if not base64_is_valid(text):
        raise ValueError("no base64")
    return base64.b64decode(text).decode()


def base64url_decode(text: str) -> str:
    """`base64url.decode`, with its padding or without."""
    padded = text if text.endswith("=") else text + "=" * (-len(text) % 4)
    plain = padded.translate({ord("-"): "+", ord("_"): "/"})
    if "+" in text or "/" in text or "\r" in text or "\n" in text:
        raise ValueError("no base64url")
    return base64_decode(plain)


def base64_is_valid(text: Any) -> bool:
    """`base64.is_valid`."""
    if not isinstance(text, str):
        return False
    return _BASE64.fullmatch(text.replace("\r", "").replace("\n", "")) is not None


def hex_decode(text: str) -> str:
    """`hex.decode`, of what decodes to UTF-8."""
    if not _HEX.fullmatch(text):
        raise ValueError("no hexadecimal digits")
    return bytes.fromhex(text).decode()


def base64url_encode_no_pad(text: str) -> str:
    """`base64url.encode_no_pad`."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def glob_quote_meta(text: str) -> str:
    """`glob.quote_meta`."""
    return re.sub(r"([*?\\\[\]{}])", r"\\\1", text)


def uuid_parse(text: str) -> dict[str, Any]:
    """`uuid.parse`, of versions that tell nothing but themselves."""
    if not _UUID.fullmatch(text):
        raise ValueError("no UUID")
    if text.startswith("{") != text.endswith("}"):
        raise ValueError("no UUID")
    found = uuid.UUID(text)
    version = (found.int >> 76) & 15
    if version in (1, 2) or found.variant != uuid.RFC_4122:
        raise ValueError("times and nodes of a UUID are not agreed on")
    return {"version": version, "variant": "RFC4122"}


def _whole(text: str) -> str:
    text.encode()
    return text


TEXTS: Mapping[str, tuple[int, Any]] = {
    "__opa_count": (1, length),
    "base64.decode": (1, base64_decode),
    "base64.is_valid": (1, base64_is_valid),
    "base64url.decode": (1, base64url_decode),
    "base64url.encode_no_pad": (1, base64url_encode_no_pad),
    "glob.quote_meta": (1, glob_quote_meta),
    "hex.decode": (1, hex_decode),
    "indexof": (2, indexof),
    "indexof_n": (2, indexof_n),
    "replace": (3, replace),
    "lower": (1, lower),
    "strings.count": (2, count),
    "strings.replace_n": (2, replace_n),
    "strings.split_n": (3, split_n),
    "substring": (3, substring),
    "upper": (1, upper),
    "urlquery.decode": (1, query_decode),
    "urlquery.decode_object": (1, query_decode_object),
    "urlquery.encode": (1, query_encode),
    "urlquery.encode_object": (1, query_encode_object),
    "uuid.parse": (1, uuid_parse),
}
"""Arity and function per builtin."""
