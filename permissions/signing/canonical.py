"""Canonical bytes and digests of JSON values (RFC 8785, JCS).

orjson's sorted output equals JCS within a profile: ASCII member names, no floats, integers
within ±(2^53 - 1) (checked against the `rfc8785` package by a property test), at a fiftieth of
the cost. Any other document goes through `rfc8785` itself; a line of the trace must lie within.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from permissions.errors import SigningError
from permissions.vocabulary import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from permissions.vocabulary import JsonObject, JsonValue

MAX_INTEGER = 2**53 - 1
"""Largest integer both sides of an I-JSON exchange agree on (RFC 7493 section 2.2)."""
MAX_DEPTH = 32


def canonical(value: JsonValue) -> bytes:
    """The RFC 8785 bytes of a JSON value.

    Raises:
        SigningError: the value is not JSON, or holds NaN, an infinity, an integer beyond
            ±(2^53 - 1), a lone surrogate, or is nested too deeply.
    """
    try:
        if outside_profile([value]) is None:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        import rfc8785  # 20 ms that documents without floats never pay

        return rfc8785.dumps(value)
    except (TypeError, ValueError, RecursionError) as err:
        raise SigningError(
            f"this value has no canonical form: {err}; write NaN, infinities and integers"
            " beyond 2^53 - 1 as strings"
        ) from err


def outside_profile(
    value: JsonObject | list[JsonValue], *, depth: int = 1, ascii_names: bool = False
) -> str | None:
    """Why orjson's sorted output of a value need not be its RFC 8785 form; None when it is.

    The hot path of whoever reads or writes the trace.

    Args:
        value: what stands at level `depth` of a document.
        depth: 1 for the document itself; deeper than 32 lies outside.
        ascii_names: whether the whole document is known to be ASCII, and names need no look.
    """
    if depth > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels"
    if type(value) is dict:
        if not ascii_names and not all(type(name) is str and name.isascii() for name in value):
            return "the name of a member is not ASCII"
        items: Iterable[JsonValue] = value.values()
    else:
        items = value
    for item in items:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is dict or kind is list or kind is tuple:
            if item and (
                found := outside_profile(item, depth=depth + 1, ascii_names=ascii_names)
            ):
                return found
        elif kind is not int:
            return f"a {kind.__name__} cannot stand here; write it as a string"
        elif not -MAX_INTEGER <= item <= MAX_INTEGER:
            return "an integer lies beyond 2^53 - 1; write it as a string"
    return None


def digest(data: bytes) -> Digest:
    """SHA-256 of bytes, as `sha256:<hex>`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_of(value: JsonValue) -> Digest:
    """SHA-256 of the canonical bytes of a JSON value."""
    return digest(canonical(value))
