"""The bytes of a trace line: RFC 8785, restricted until there is one way to write a value.

ASCII member names, integers within ±(2^53 - 1), no floats, no lone surrogates, at most 32
levels, at most 60 KiB (a C2SP tlog-tiles entry holds 65,535 bytes). In this profile orjson's
sorted output is the canonical form. `decode` accepts exactly what `encode` can produce: it
encodes again and compares, so duplicate members, stray spaces and other escapes are refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from permissions.errors import TraceError

if TYPE_CHECKING:
    from permissions.model import JsonObject, JsonValue

MAX_LINE = 60 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
# A number that could be a float or too large. It may also match inside a string (a digest
# that begins with digits and an e), so a match only means that the values must be walked;
# the walk costs ten times the search.
_SUSPECT = re.compile(rb"[:,\[]-?(?:[0-9]+[.eE]|[0-9]{17}|9[0-9]{15})").search


def encode(document: JsonObject, *, limit: int = MAX_LINE) -> bytes:
    """The canonical bytes of one line, without its newline.

    Raises:
        TraceError: the document lies outside the profile above.
    """
    try:
        line = orjson.dumps(document, option=_OPTIONS)
    except (TypeError, ValueError, RecursionError) as err:
        raise TraceError(f"not a trace document: {str(err)[:120]}") from err
    if len(line) > limit:
        raise TraceError(f"a line of {len(line)} bytes is longer than {limit}")
    if _needs_walk(line):
        _walk(orjson.loads(line), 1)
    return line


def decode(line: bytes, *, limit: int = MAX_LINE) -> JsonObject:
    """Reads one line, without its newline.

    Raises:
        TraceError: it is not the canonical form of an object within the profile.
    """
    if len(line) > limit:
        raise TraceError(f"a line of {len(line)} bytes is longer than {limit}")
    try:
        document = orjson.loads(line)
    except ValueError as err:
        raise TraceError("the line is not JSON") from err
    if type(document) is not dict:
        raise TraceError("the line is not a JSON object")
    if orjson.dumps(document, option=orjson.OPT_SORT_KEYS) != line:
        raise TraceError("the line is not in canonical form")
    if _needs_walk(line):
        _walk(document, 1)
    return document


def _needs_walk(line: bytes) -> bool:
    return (
        not line.isascii()
        or _SUSPECT(line) is not None
        or line.count(b"{") + line.count(b"[") > MAX_DEPTH
    )


def _walk(value: JsonValue, depth: int) -> None:
    match value:
        case str() | bool() | None:
            return
        case int() if -MAX_INTEGER <= value <= MAX_INTEGER:
            return
        case dict() | list() if depth > MAX_DEPTH:
            raise TraceError(f"nested deeper than {MAX_DEPTH} levels")
        case dict():
            for name, item in value.items():
                if not name.isascii():
                    raise TraceError(f"the member name {name[:40]!r} is not ASCII")
                _walk(item, depth + 1)
        case list():
            for item in value:
                _walk(item, depth + 1)
        case _:
            raise TraceError("numbers are integers within 2^53 - 1; write others as strings")
