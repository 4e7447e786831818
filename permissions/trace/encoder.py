"""From an entry to the bytes of its lines, and the shape every entry line has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import TraceError, TraceIntegrityError
from permissions.signing.canonical import MAX_INTEGER
from permissions.trace import codec
from permissions.trace.merkle import leaf_hash
from permissions.trace.rules import KNOWN_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import JsonObject
    from permissions.trace.entry import TraceEntry
    from permissions.trace.vault import SealedContent, Vault

VERSION = 1
ENTRY_PREFIX = b'{"body":'
CONTENT_PREFIX = b'{"content":'
CHECKPOINT_PREFIX = b'{"checkpoint":'
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}").fullmatch
_MEMBERS = frozenset(
    {"body", "call", "contents", "index", "origin", "run", "time", "type", "v"}
)
_FACTS = frozenset({"commitment", "sealed", "size"})
_TEXT_OR_NULL = (str, type(None))


class Encoded(NamedTuple):
    """The leaf hash of an entry, and its line followed by its sealed contents."""

    leaf: bytes
    lines: bytes


def content_path(entry_type: str, name: str) -> str:
    """What a commitment binds a content to besides its bytes."""
    return f"{entry_type}/{name}"


def checkpoint_line(note: str) -> bytes:
    """The line that holds a signed checkpoint, with its newline."""
    return codec.encode({"checkpoint": note}) + b"\n"


def decode_entry(line: bytes) -> JsonObject:
    """Reads an entry line, without its newline; every member is there and of its type.

    Raises:
        TraceError: the line lies outside the profile of `codec`.
        TraceIntegrityError: it is not an entry of this version.
    """
    entry = codec.parse(line)
    if entry.keys() != _MEMBERS:
        odd = min(entry.keys() ^ _MEMBERS)[:40]
        raise TraceIntegrityError(f"the member {odd!r} of an entry is missing or unknown")
    if entry["v"] != VERSION or type(entry["v"]) is not int:
        raise TraceIntegrityError("the entry was written by a later version; update wardline")
    if not (
        type(entry["body"]) is dict
        and type(entry["contents"]) is dict
        and _is_count(entry["index"])
        and _is_count(entry["time"])
        and type(entry["origin"]) is str
        and type(entry["type"]) is str
        and type(entry["run"]) in _TEXT_OR_NULL
        and type(entry["call"]) in _TEXT_OR_NULL
    ):
        raise TraceIntegrityError("a member of an entry has the wrong type")
    for name, facts in entry["contents"].items():
        if not (
            _NAME(name)
            and type(facts) is dict
            and facts.keys() == _FACTS
            and type(facts["commitment"]) is str
            and type(facts["sealed"]) is str
            and _is_count(facts["size"])
        ):
            raise TraceIntegrityError("the facts about a content are malformed")
    codec.require_profile(entry["body"], depth=2, ascii_names=line.isascii())
    return entry


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER


class EntryEncoder:
    """Encodes the entries of one log."""

    def __init__(self, *, origin: str, vault: Vault, clock: Callable[[], int]) -> None:
        """`clock` gives microseconds since 1970-01-01 UTC."""
        self._origin = origin
        self._vault = vault
        self._clock = clock

    def encode(self, entry: TraceEntry, index: int) -> Encoded:
        """The bytes of `entry` as the log's entry number `index`.

        Raises:
            TraceError: it lies outside the format (see docs/reference/trace-format.md).
        """
        kind = entry.type
        if kind not in KNOWN_TYPES:
            raise TraceError(f"no entry type {kind[:40]!r}")
        sealed: dict[str, SealedContent] = {}
        for name in sorted(entry.contents):
            if not _NAME(name):
                raise TraceError(f"the name {name[:40]!r} of a content is not a plain word")
            sealed[name] = self._vault.seal(
                entry.contents[name],
                origin=self._origin,
                run=entry.run,
                path=content_path(kind, name),
            )
        line = codec.encode(
            {
                "body": entry.body,
                "call": entry.call,
                "contents": {name: content.facts for name, content in sealed.items()},
                "index": index,
                "origin": self._origin,
                "run": entry.run or None,
                "time": self._clock(),
                "type": kind,
                "v": VERSION,
            }
        )
        if kind == "run.end":
            self._vault.forget(entry.run)
        lines = b"\n".join((line, *(content.line for content in sealed.values()), b""))
        return Encoded(leaf_hash(line), lines)
