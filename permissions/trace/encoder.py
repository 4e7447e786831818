"""From an entry to the bytes of its lines, and the shape every entry line has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import orjson

from permissions.errors import TraceError, TraceIntegrityError
from permissions.signing.canonical import MAX_INTEGER, outside_profile
from permissions.trace import codec
from permissions.trace.merkle import leaf_hash
from permissions.trace.rules import KNOWN_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import JsonObject
    from permissions.trace.entry import TraceEntry
    from permissions.trace.vault import SealedContent, Vault

VERSION = 2
ENTRY_PREFIX = b'{"body":'
CONTENT_PREFIX = b'{"content":'
CHECKPOINT_PREFIX = b'{"checkpoint":'
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}").fullmatch
_MEMBERS = ("body", "call", "contents", "index", "run", "time", "type", "v")
_DIGEST = re.compile(r"[A-Za-z0-9+/]{43}=").fullmatch


class Encoded(NamedTuple):
    """The leaf hash of an entry, and its line followed by its sealed contents."""

    leaf: bytes
    lines: bytes


def content_path(entry_type: str, name: str) -> str:
    """What a content is bound to, besides its log and its run."""
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
    try:
        entry: JsonObject = orjson.loads(line)
    except ValueError:
        raise _no_entry(line) from None
    if type(entry) is not dict or tuple(entry) != _MEMBERS or len(line) > codec.MAX_LINE:
        raise _no_entry(line)
    body, call, contents, index, run, time, kind, version = entry.values()
    if orjson.dumps(entry, option=orjson.OPT_SORT_KEYS) != line:
        raise TraceError("the line is not in canonical form")
    if version != VERSION or type(version) is not int:
        raise _of_version(version)
    if not (
        type(body) is dict is type(contents)
        and type(index) is int is type(time)
        and 0 <= index <= MAX_INTEGER
        and 0 <= time <= MAX_INTEGER
        and type(kind) is str
        and (type(run) is str or run is None)
        and (type(call) is str or call is None)
    ):
        raise TraceIntegrityError("a member of an entry has the wrong type")
    for name, named in contents.items():
        if not (_NAME(name) and type(named) is str and _DIGEST(named)):
            raise TraceIntegrityError("the facts about a content are malformed")
    if body and (said := outside_profile(body, depth=2, ascii_names=line.isascii())):
        raise TraceError(said)
    return entry


def _no_entry(line: bytes) -> TraceError:
    """Why a line is none."""
    try:
        entry = codec.parse(line)
    except TraceError as err:
        return err
    if entry.get("v") not in (None, VERSION):
        return _of_version(entry["v"])
    odd = min(entry.keys() ^ set(_MEMBERS), default="v")[:40]
    return TraceIntegrityError(f"the member {odd!r} of an entry is missing or unknown")


_EMPTY: tuple[object, ...] = (None, "", [], {}, ())


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


class EntryEncoder:
    """Encodes the entries of one log."""

    def __init__(self, *, origin: str, vault: Vault, clock: Callable[[], int]) -> None:
        """`clock` gives microseconds since 1970-01-01 UTC."""
        self._origin = origin
        self._vault = vault
        self._clock = clock
        self._in_force: JsonObject = {}
        """What the last `config` entry says decisions are made under."""

    def body(self, entry: TraceEntry) -> JsonObject:
        """The body as it is recorded.

        `log.open` names the origin, links become tags, and what goes without saying is left
        out: members that are null or empty, and of a decision the revision and the engine
        when they are those of the last `config`.
        """
        body = {name: value for name, value in entry.body.items() if value not in _EMPTY}
        kind = entry.type
        if kind == "log.open":
            body["origin"] = self._origin
        elif kind == "config":
            self._in_force = {"revision": body.get("policy"), "engine": body.get("engine")}
        elif kind == "decision":
            for name, value in self._in_force.items():
                if body.get(name) == value:
                    body.pop(name, None)
        elif kind == "run.start" and body.get("resumed") is True:
            self._vault.resume(entry.run)
        return {**body, **self.tags(entry)}

    def tags(self, entry: TraceEntry) -> dict[str, str]:
        """What stands in the body for the links of an entry."""
        tag = self._vault.tag
        return {name: tag(entry.run, name, data) for name, data in entry.links.items()}

    def encode(self, entry: TraceEntry, index: int) -> Encoded:
        """The bytes of `entry` as the log's entry number `index`.

        Raises:
            TraceError: it lies outside the format (see docs/reference/trace-format.md).
        """
        kind = entry.type
        if kind not in KNOWN_TYPES:
            raise TraceError(f"no entry type {kind[:40]!r}")
        run, body = entry.run, self.body(entry)
        sealed: dict[str, SealedContent] = {}
        for name in sorted(entry.contents):
            if not _NAME(name):
                raise TraceError(f"the name {name[:40]!r} of a content is not a plain word")
            sealed[name] = self._vault.seal(
                entry.contents[name],
                origin=self._origin,
                run=run,
                path=content_path(kind, name),
            )
        line = codec.encode(
            {
                "body": body,
                "call": entry.call,
                "contents": {name: content.digest for name, content in sealed.items()},
                "index": index,
                "run": run or None,
                "time": self._clock(),
                "type": kind,
                "v": VERSION,
            }
        )
        if kind == "run.end":
            self._vault.forget(run)
        lines = b"\n".join((line, *(content.line for content in sealed.values()), b""))
        return Encoded(leaf_hash(line), lines)
