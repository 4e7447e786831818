"""The bytes of a trace line: RFC 8785, restricted until there is one way to write a value.

ASCII member names, integers within ±(2^53 - 1), no floats, no lone surrogates, at most 32
levels, at most 60 KiB (a C2SP tlog-tiles entry holds 65,535 bytes). In this profile orjson's
sorted output is the canonical form. `decode` accepts exactly what `encode` can produce: it
encodes again and compares, so duplicate members, stray spaces and other escapes are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from permissions.errors import TraceError
from permissions.signing.canonical import outside_profile

if TYPE_CHECKING:
    from permissions.model import JsonObject

MAX_LINE = 60 * 1024

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


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
    require_profile(document, ascii_names=line.isascii())
    return line


def decode(line: bytes, *, limit: int = MAX_LINE) -> JsonObject:
    """Reads one line, without its newline.

    Raises:
        TraceError: it is not the canonical form of an object within the profile.
    """
    document = parse(line, limit=limit)
    require_profile(document, ascii_names=line.isascii())
    return document


def parse(line: bytes, *, limit: int = MAX_LINE) -> JsonObject:
    """Reads one line whose values the caller checks.

    Raises:
        TraceError: it is not how orjson writes an object.
    """
    if len(line) > limit:
        raise TraceError(f"a line of {len(line)} bytes is longer than {limit}")
    try:
        document = orjson.loads(line)
    except ValueError as err:
        raise TraceError("the line is not JSON") from err
    if type(document) is not dict:
        raise TraceError("the line is not a JSON object")
    try:
        again = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except TypeError as err:  # it reads more levels than it writes
        raise TraceError("the line is nested too deeply") from err
    if again != line:
        raise TraceError("the line is not in canonical form")
    return document


def require_profile(value: JsonObject, *, depth: int = 1, ascii_names: bool) -> None:
    """Refuses what has more than one spelling.

    Args:
        value: what stands at level `depth` of a line.
        depth: 1 for the line itself.
        ascii_names: whether the whole line is ASCII, and names need no look.

    Raises:
        TraceError: a value lies outside the profile.
    """
    if (found := outside_profile(value, depth=depth, ascii_names=ascii_names)) is not None:
        raise TraceError(found)
