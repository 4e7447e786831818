"""From an entry to the bytes of its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import TraceError
from permissions.trace import codec
from permissions.trace.decoded import CONTENT_NAME, VERSION
from permissions.trace.merkle import leaf_hash
from permissions.trace.rules import KNOWN_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import JsonObject
    from permissions.trace.entry import TraceEntry
    from permissions.trace.vault import SealedContent, Vault

ENTRY_PREFIX = b'{"body":'
CONTENT_PREFIX = b'{"content":'
CHECKPOINT_PREFIX = b'{"checkpoint":'


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


_EMPTY: tuple[object, ...] = (None, "", [], {}, ())


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

    def seal_ahead(self, entry: TraceEntry) -> None:
        """Leaves with an entry what can be sealed of it before it is recorded.

        Raises:
            TraceError: a content is too large.
        """
        for name, data in entry.contents.items():
            if name in entry.ahead:
                continue
            path = content_path(entry.type, name)
            sealed = self._vault.seal_ahead(data, origin=self._origin, run=entry.run, path=path)
            if sealed is not None:
                entry.ahead[name] = sealed

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
            if not CONTENT_NAME(name):
                raise TraceError(f"the name {name[:40]!r} of a content is not a plain word")
            sealed[name] = self._vault.seal(
                entry.contents[name],
                origin=self._origin,
                run=run,
                path=content_path(kind, name),
                ahead=entry.ahead.get(name),
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
