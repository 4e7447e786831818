"""An entry as its line has it: every member is there, of its type, and spelt in the one way."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from permissions.errors import TraceError, TraceIntegrityError
from permissions.signing.canonical import MAX_INTEGER, outside_profile
from permissions.trace import codec

VERSION: Final = 2
CONTENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}").fullmatch
_DIGEST = re.compile(r"[A-Za-z0-9+/]{43}=").fullmatch
_Whole: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class DecodedEntry(Struct, forbid_unknown_fields=True, gc=False):
    """One entry; the members in the order in which a line has them."""

    body: dict[str, Any]
    call: str | None
    contents: dict[str, str]
    """By the name of each content: the digest of its sealed line."""
    index: _Whole
    run: str | None
    time: _Whole
    """Microseconds since 1970-01-01 UTC."""
    type: str
    v: Literal[2]


_decode = msgspec.json.Decoder(DecodedEntry).decode
_encode = msgspec.json.Encoder(order="sorted").encode
"""Within the profile of `codec` the same bytes as there."""


def decode_entry(line: bytes) -> DecodedEntry:
    """Reads an entry line, without its newline.

    Raises:
        TraceError: the line lies outside the profile of `codec`.
        TraceIntegrityError: it is not an entry of this version.
    """
    try:
        entry = _decode(line)
        is_canonical = _encode(entry) == line
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        raise _no_entry(line) from None
    if not is_canonical or len(line) > codec.MAX_LINE:
        raise _no_entry(line)
    for name, named in entry.contents.items():
        if not (CONTENT_NAME(name) and _DIGEST(named)):
            raise TraceIntegrityError("the facts about a content are malformed")
    if entry.body and (
        said := outside_profile(entry.body, depth=2, ascii_names=line.isascii())
    ):
        raise TraceError(said)
    return entry


def _no_entry(line: bytes) -> TraceError:
    """Why a line is none."""
    try:
        entry = codec.decode(line)
    except TraceError as err:
        return err
    if entry.get("v", VERSION) != VERSION or type(entry.get("v", VERSION)) is not int:
        return _of_version(entry["v"])
    if odd := entry.keys() ^ set(DecodedEntry.__struct_fields__):
        return TraceIntegrityError(
            f"the member {min(odd)[:40]!r} of an entry is missing or unknown"
        )
    return TraceIntegrityError("a member of an entry has the wrong type")


def _of_version(version: object) -> TraceIntegrityError:
    """What to do about an entry of another version."""
    if type(version) is not int:
        return TraceIntegrityError("the version of an entry is no number")
    said = (
        f"the entry is of version {version} of the trace format, this Wardline reads {VERSION}"
    )
    if version > VERSION:
        return TraceIntegrityError(f"{said}: use the release that wrote it, or a later one")
    return TraceIntegrityError(
        f"{said} alone: verify it with the release that wrote it; `wardline trace renew` sets"
        " that log aside and begins a new one"
    )
