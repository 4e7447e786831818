"""Where in a log what stands: an index by run and call, for whoever must not read all of it.

A SQLite file beside the log, made from it and brought up to date whenever it is asked: it costs
the writer nothing, and each asker the entries that are new. It is only a guess at where to look:
each line that it leads to is read from the log and must be the entry it promised, and when the
log is not the one the index was made from, it is made anew. A verifier never asks it.

Not protected from: who can write the file can leave entries out of it; they can write the
broker's own state as well.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.encoder import decode_entry
from permissions.trace.reader import read_groups, recorded
from permissions.trace.store import segment_path, segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.trace.reader import Group, RecordedEntry

_VERSION = 1
_GROUPS_AT_ONCE = 2000
_TIMEOUT_SECONDS = 30.0
_TABLES = f"""
    CREATE TABLE entry (
        number INTEGER PRIMARY KEY,
        run TEXT,
        call TEXT,
        segment INTEGER NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX entry_run ON entry (run, number);
    CREATE INDEX entry_call ON entry (call, number);
    CREATE TABLE position (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        origin TEXT NOT NULL,
        segment INTEGER NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = {_VERSION};
"""


class _Position(NamedTuple):
    """The last checkpoint line that was taken in."""

    origin: str
    segment: int
    start: int
    size: int
    digest: bytes


class TraceIndex:
    """The index of one log. Blocking; each call opens the file for itself."""

    def __init__(self, directory: Path, file: Path | None) -> None:
        """`file` is the index; without one, or where it cannot be written, it is made in memory."""
        self._directory = directory
        self._file = file

    def run(self, run: str) -> Iterator[RecordedEntry]:
        """The entries of a run, in order.

        Raises:
            TraceError: the log cannot be read.
            TraceIntegrityError: a line of it is malformed.
        """
        yield from self._found("run = ?", run)

    def call(self, call: str) -> Iterator[RecordedEntry]:
        """The entries of a call, in order; raises as `run` does."""
        yield from self._found("call = ?", call)

    def entry(self, number: int) -> RecordedEntry | None:
        """One entry; raises as `run` does."""
        return next(self._found("number = ?", number), None)

    def _found(self, where: str, value: str | int) -> Iterator[RecordedEntry]:
        with self._open() as database:
            position = self._update(database)
            if position is None:
                return
            rows = database.execute(
                "SELECT number, segment, start, size FROM entry"  # noqa: S608 - fixed texts
                f" WHERE {where} ORDER BY number",
                (value,),
            ).fetchall()
        for number, segment, start, size in rows:
            data = self._read(segment, start, size)
            found = _entry_at(data, position.origin)
            if found.index != number:
                raise TraceIntegrityError(
                    f"the index {self._file} leads to entry {found.index}, not {number};"
                    " delete it, and it is made anew"
                )
            yield found

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(
                self._file or ":memory:", timeout=_TIMEOUT_SECONDS, isolation_level=None
            )
        except sqlite3.Error:
            database = sqlite3.connect(":memory:", isolation_level=None)
        with closing(database):
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = OFF")  # what is lost is made anew
                yield database
            except sqlite3.Error as err:
                raise TraceError(
                    f"the index {self._file} cannot be used ({err}); delete it, and it is made"
                    " anew"
                ) from err

    def _update(self, database: sqlite3.Connection) -> _Position | None:
        """Takes in what is new; gives where the index ends."""
        database.execute("BEGIN IMMEDIATE")
        try:
            position = self._known(database)
            after = None
            if position is not None:
                after = (
                    segment_path(self._directory, position.segment),
                    position.start + position.size,
                )
            for group in read_groups(self._directory, after=after):
                position = _take(database, group)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        return position

    def _known(self, database: sqlite3.Connection) -> _Position | None:
        """Where the index ended, if it is one of this very log."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == _VERSION:
            row = database.execute(
                "SELECT origin, segment, start, size, digest FROM position"
            ).fetchone()
            if row is not None:
                position = _Position(*row)
                line = self._read(position.segment, position.start, position.size)
                if hashlib.sha256(line).digest() == position.digest:
                    return position
        database.execute("DROP TABLE IF EXISTS entry")
        database.execute("DROP TABLE IF EXISTS position")
        for statement in _TABLES.split(";"):
            database.execute(statement)
        return None

    def _read(self, segment: int, start: int, size: int) -> bytes:
        try:
            with segment_path(self._directory, segment).open("rb") as file:
                file.seek(start)
                return file.read(size)
        except FileNotFoundError:
            return b""
        except OSError as err:
            raise TraceError(f"the log cannot be read: {err.strerror}") from err


def _take(database: sqlite3.Connection, group: Group) -> _Position:
    rows = []
    for lines in group.entries:
        document = decode_entry(lines[0].data)
        last = lines[-1]
        rows.append(
            (
                document["index"],
                document["run"],
                document["call"],
                int(lines[0].segment.stem),
                lines[0].offset,
                last.offset + len(last.data) + 1 - lines[0].offset,
            )
        )
    database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", rows)
    line = group.checkpoint
    position = _Position(
        group.origin,
        int(line.segment.stem),
        line.offset,
        len(line.data) + 1,
        hashlib.sha256(line.data + b"\n").digest(),
    )
    database.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?, ?, ?)", position)
    return position


def _entry_at(data: bytes, origin: str) -> RecordedEntry:
    entry, *contents = data.split(b"\n")[:-1] or [b""]
    return recorded(entry, contents, origin)


def is_log(directory: Path) -> bool:
    """Whether there is a log to be indexed."""
    return directory.is_dir() and bool(segments(directory))
