"""Reads a log entry by entry, in constant memory.

Only entries under a checkpoint line are given; a torn or unfinished tail is not. Nothing is
verified here beyond the form of a line and the digests of sealed contents: verify first what
you want to rely on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace import codec
from permissions.trace.decoded import decode_entry
from permissions.trace.encoder import (
    CHECKPOINT_PREFIX,
    CONTENT_PREFIX,
    ENTRY_PREFIX,
    content_path,
)
from permissions.trace.merkle import leaf_hash
from permissions.trace.store import Line, read_lines, segments
from permissions.trace.vault import line_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.trace.vault import VaultReader


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as it was recorded; `time` is microseconds since 1970-01-01 UTC."""

    index: int
    origin: str
    time: int
    type: str
    run: str | None
    call: str | None
    body: JsonObject
    digests: Mapping[str, str]
    """By the name of each content: the digest of its sealed line."""
    line: bytes
    """As it lies, without its newline."""
    contents: Sequence[bytes]
    """The lines of contents that follow it."""

    @property
    def leaf(self) -> bytes:
        """Its leaf in the log's tree."""
        return leaf_hash(self.line)

    @property
    def sealed(self) -> dict[str, bytes]:
        """The sealed lines that are still there and are those it names, by the content's name."""
        names = {named: name for name, named in self.digests.items()}
        found = ((names.get(line_digest(each)), each) for each in self.contents)
        return {name: each for name, each in found if name is not None}

    def open(self, name: str, vault: VaultReader) -> bytes:
        """One content, of the sealed line that the entry names.

        Raises:
            TraceIntegrityError: it does not open as it has to.
            TraceError: the entry has no such content, or it is absent or erased.
        """
        if name not in self.digests:
            raise TraceError(f"entry {self.index} has no content {name[:40]!r}")
        digest = self.digests[name]
        line = next((each for each in self.contents if line_digest(each) == digest), None)
        if line is None:
            raise TraceError(f"the content {name!r} of entry {self.index} is not kept here")
        return vault.open(
            line,
            origin=self.origin,
            run=self.run or "",
            path=content_path(self.type, name),
        )

    def document(self) -> JsonObject:
        """The entry as JSON, without its sealed contents."""
        return {
            "index": self.index,
            "time": self.time,
            "type": self.type,
            "run": self.run,
            "call": self.call,
            "body": self.body,
            "contents": dict(self.digests),
            "leaf": self.leaf.hex(),
        }


class Group(NamedTuple):
    """What stands under one checkpoint: each entry with its sealed contents, as they lie."""

    entries: list[list[Line]]
    checkpoint: Line
    origin: str


def read_groups(directory: Path, *, after: tuple[Path, int] | None = None) -> Iterator[Group]:
    """The groups of a log, in order.

    Args:
        directory: of the log.
        after: a segment and the end of a checkpoint line in it; what comes before is left out.

    Raises:
        TraceError: there is no log, or a file cannot be read.
        TraceIntegrityError: a checkpoint line is malformed.
    """
    if not segments(directory):
        raise TraceError(f"there is no trace in {directory}")
    pending: list[list[Line]] = []
    is_torn = False
    for line in read_lines(directory, after=after):
        data = line.data
        if not line.ended or b"\0" in data:
            is_torn = True  # a power cut left zeros in the group that was being written
        elif data.startswith(ENTRY_PREFIX):
            pending.append([line])
        elif data.startswith(CONTENT_PREFIX) and pending:
            pending[-1].append(line)
        elif data.startswith(CHECKPOINT_PREFIX):
            yield Group([] if is_torn else pending, line, _origin(data))
            pending = []
            is_torn = False


def read_entries(directory: Path) -> Iterator[RecordedEntry]:
    """Every entry under a checkpoint, in order.

    Raises:
        TraceError: there is no log, or a file cannot be read.
        TraceIntegrityError: a line is malformed; the entries before it were given.
    """
    for group in read_groups(directory):
        for entry, *contents in group.entries:
            yield recorded(entry.data, [each.data for each in contents], group.origin)


def first_entry(directory: Path) -> RecordedEntry | None:
    """What a log begins with, unverified, or None if nothing of it can be read.

    Raises:
        TraceError: there is no log, or a file cannot be read.
    """
    try:
        return next(read_entries(directory))
    except (StopIteration, TraceIntegrityError):
        return None


def log_origin(directory: Path) -> str | None:
    """The name a log gives itself, or None if it holds no readable entry."""
    first = first_entry(directory)
    return None if first is None else first.origin


def _origin(line: bytes) -> str:
    """The log's name, as a checkpoint line has it."""
    try:
        return str(codec.parse(line)["checkpoint"]).partition("\n")[0]
    except (TraceError, KeyError) as err:
        raise TraceIntegrityError("a checkpoint line of the trace is malformed") from err


def recorded(line: bytes, contents: Sequence[bytes], origin: str) -> RecordedEntry:
    """An entry from its line and those of its contents.

    Raises:
        TraceIntegrityError: the line is malformed.
    """
    try:
        entry = decode_entry(line)
    except TraceError as err:
        raise TraceIntegrityError(f"a line of the trace is malformed: {err}") from err
    return RecordedEntry(
        index=entry.index,
        origin=origin,
        time=entry.time,
        type=entry.type,
        run=entry.run,
        call=entry.call,
        body=entry.body,
        digests=entry.contents,
        line=line,
        contents=contents,
    )
