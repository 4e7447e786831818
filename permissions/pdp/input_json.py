"""The strict JSON form of the input: the only way a request reaches a Rego engine.

What passes means the same to every engine: no NaN or infinity, no lone surrogates, string
keys only, integers within 64 bits, at most 64 levels deep, at most 1 MB. Beyond that the
engines disagree, lose precision, or die (a lone surrogate is a segmentation fault).

orjson refuses surrogates, foreign keys and cycles while it writes, but turns NaN into null
and UUIDs into strings without a word, so one walk over the values finds those. Together
about 10 us for a document of 1 KB; the standard library's strict dump alone takes 28.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import orjson

from permissions.errors import PdpInputError

if TYPE_CHECKING:
    from permissions.model import JsonObject, JsonValue

MAX_DEPTH = 64
MAX_BYTES = 1_000_000
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
_EXACT = 2**53
"""Beyond it a fraction of 64 bits does not say which integer it is."""

_OPTIONS = (
    orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_SCALARS = frozenset({str, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})


def input_bytes(document: JsonObject) -> bytes:
    """The document as UTF-8 JSON that every engine reads alike.

    Raises:
        PdpInputError: it is no JSON object of strings, booleans, null, finite numbers,
            integers from -2^63 to 2^63 - 1, lists and objects with string keys; or it is
            deeper than `MAX_DEPTH` or longer than `MAX_BYTES`. The message names the rule
            that was broken, and never a value.
    """
    if type(document) is not dict:
        raise PdpInputError("the input of a policy must be a JSON object")
    try:
        data = orjson.dumps(document, option=_OPTIONS)  # first: it ends on a cycle
    except TypeError as err:
        # orjson's own words name the kind of fault and a type, never a value.
        raise PdpInputError(f"the input is not plain JSON: {err}") from None
    if len(data) > MAX_BYTES:
        raise PdpInputError(
            f"the input has {len(data):,} bytes and the limit is {MAX_BYTES:,}; pass large"
            " content by reference or digest"
        )
    if _holds_whole_fractions(document):
        # `1.0` and `1` are one value, and OPA's texts tell them apart (`sprintf`).
        return orjson.dumps(_with_integers(document))
    return data


def _with_integers(value: JsonValue) -> JsonValue:
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if type(value) is dict:
        return {key: _with_integers(member) for key, member in value.items()}
    return [_with_integers(each) for each in value] if type(value) in (list, tuple) else value


def _holds_whole_fractions(document: JsonObject) -> bool:
    """Whether a fraction is an integer. Refuses every value the engines do not read alike."""
    level: list[JsonValue] = [document]
    found = False
    for _ in range(MAX_DEPTH):
        deeper: list[JsonValue] = []
        for parent in level:
            for value in parent.values() if type(parent) is dict else parent:
                kind = type(value)
                if kind in _SCALARS:
                    continue
                if kind in _CONTAINERS:
                    deeper.append(value)
                elif kind is int:
                    if not MIN_INTEGER <= value <= MAX_INTEGER:
                        raise PdpInputError("the input holds an integer beyond 64 bits")
                elif kind is float and isfinite(value):
                    found = found or value.is_integer()
                else:
                    raise PdpInputError(
                        "the input holds NaN, an infinity, or a value that is no plain JSON"
                        f" ({kind.__name__})"
                    )
        if not deeper:
            return found
        level = deeper
    raise PdpInputError(f"the input is nested deeper than {MAX_DEPTH} levels")
