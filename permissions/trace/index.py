"""Where in a log what stands: an index by run, call, tool, time, person and rule.

A SQLite file beside the log, made from it and brought up to date whenever it is asked: it costs
the writer nothing, and each asker the entries that are new. It is only a guess at where to look:
each line that it leads to is read from the log and must be the entry it promised, and when the
log is not the one the index was made from, or a power cut or a disk damaged it, it is made anew.
How many entries a run has is kept apart from them, so that a damaged page hides none of those
that a broker goes on from. A verifier never asks it, and compares it with the log (`index_check`).

Not protected from: who can write the file can leave entries out of it; they can write the
broker's own state as well. So who asks about a log that is not their own makes an index for
themselves (`cli.trace_source`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import weakref
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from permissions.errors import TraceError, TraceIntegrityError
from permissions.signing.canonical import MAX_INTEGER
from permissions.trace.archived import load_archived
from permissions.trace.encoder import ENTRY_PREFIX
from permissions.trace.index_tables import VERSION, Intake, Position, make_tables
from permissions.trace.reader import read_groups, recorded
from permissions.trace.store import all_segments, segment_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from permissions.trace.call_filter import CallFilter
    from permissions.trace.reader import RecordedEntry

_TIMEOUT_SECONDS = 30.0
_CALLS_AT_ONCE = 500
_FILES_OPEN = 64
_WHERE = "SELECT number, segment, start, size FROM entry WHERE"


class RunSummary(NamedTuple):
    """A run at a glance."""

    start: RecordedEntry
    """The first `run.start` of it."""
    last: RecordedEntry
    ends: dict[str | None, int]
    """By how calls ended (`index_tables.how_ended`), None for those under way: how many."""


class IndexDamagedError(TraceIntegrityError):
    """The index does not hold what was put into it; it was removed, and is made anew."""

    def __init__(self, file: Path, fault: str) -> None:
        super().__init__(
            f"the index {file} was damaged ({fault}); it was removed, and is made anew when it is"
            " asked again"
        )


class TraceIndex:
    """The index of one log. Blocking; each call opens the file for itself."""

    def __init__(self, directory: Path, file: Path | None) -> None:
        """`file` is the index; without one, or where it cannot be written, one is made for this object.

        That lies in a temporary folder of this user's, for as long as the object lives.
        """
        self._directory = directory
        self._file = file
        self._own: Path | None = None

    @property
    def file(self) -> Path:
        """The index in use."""
        if self._file is not None and _can_write(self._file):
            return self._file
        if self._own is None:
            folder = mkdtemp(prefix="wardline-index-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._own = Path(folder) / "index"
        return self._own

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Brought up to date once, for many questions.

        Raises:
            TraceError: the log cannot be read.
            TraceIntegrityError: a line of it is malformed.
        """
        with self._open() as opened, _Segments(self._directory) as segments_read:
            yield Reading(*opened, segments_read, self.file)

    def run(self, run: str) -> Iterator[RecordedEntry]:
        """The entries of a run, in order; raises as `reading` does."""
        with self.reading() as reading:
            yield from reading.run(run)

    def call(self, call: str) -> Iterator[RecordedEntry]:
        """The entries of a call, in order; raises as `reading` does."""
        yield from self._found("call = ?", call)

    def entry(self, number: int) -> RecordedEntry | None:
        """One entry; raises as `reading` does."""
        return next(self._found("number = ?", number), None)

    def head(
        self, kind: Literal["config", "run.start"], run: str, before: int
    ) -> RecordedEntry | None:
        """The last entry of this type before another; `run` is empty for the log's own.

        Raises as `reading` does.
        """
        where = (
            "number = (SELECT max(number) FROM head WHERE type = ? AND run = ? AND number < ?)"
        )
        return next(self._found(where, kind, run, before), None)

    def all_of(self, kind: Literal["config", "run.start"]) -> Iterator[RecordedEntry]:
        """Every entry of this type, in order; raises as `reading` does."""
        yield from self._found("number IN (SELECT number FROM head WHERE type = ?)", kind)

    def runs(self) -> list[tuple[str, int]]:
        """Each run in the order in which they began, and the number of its last entry.

        Raises as `reading` does.
        """
        with self._open() as (database, _):
            return database.execute(
                "SELECT run, max(number) FROM entry WHERE run IS NOT NULL"
                " GROUP BY run ORDER BY min(number)"
            ).fetchall()

    def recent_runs(self, *, before: int | None = None, limit: int) -> list[RunSummary]:
        """The runs that began last, newest first.

        Args:
            before: only runs that began before this entry.
            limit: how many at most.

        Raises as `run` does.
        """
        return self._summaries(
            "SELECT run, min(number) AS first FROM head WHERE type = 'run.start'"
            " GROUP BY run HAVING first < ? ORDER BY first DESC LIMIT ?",
            MAX_INTEGER if before is None else before,
            limit,
        )

    def run_summary(self, run: str) -> RunSummary | None:
        """One run, or None when nothing is recorded of it; raises as `run` does."""
        found = self._summaries(
            "SELECT run, min(number) FROM head WHERE type = 'run.start' AND run = ?"
            " GROUP BY run",
            run,
        )
        return found[0] if found else None

    def rules(self, since: int) -> list[tuple[str, str | None, int]]:
        """How often each rule or reason spoke in calls of one end, the most frequent first.

        Args:
            since: microseconds since 1970 UTC; calls that were asked for then or later.

        Raises as `run` does.
        """
        with self.reading() as reading:
            return reading.rules(since)

    def days(self, since: int) -> list[tuple[int, str | None, bool, int]]:
        """Calls by day (days since 1970 UTC), by how they ended, and whether people answered.

        Args:
            since: microseconds since 1970 UTC; calls that were asked for then or later.

        Raises as `run` does.
        """
        with self.reading() as reading:
            return reading.days(since)

    def _summaries(self, query: str, *values: str | int) -> list[RunSummary]:
        with self.reading() as reading:
            return [*reading.summaries(query, *values)]

    def calls(
        self, wanted: CallFilter, *, newest_first: bool = False
    ) -> Iterator[list[RecordedEntry]]:
        """The entries of each call that is looked for, by when it was asked for.

        Only what bodies say can be looked for. Raises as `reading` does.
        """
        with self.reading() as reading:
            yield from reading.calls(wanted, newest_first=newest_first)

    def _found(self, where: str, *values: str | int) -> Iterator[RecordedEntry]:
        with self.reading() as reading:
            yield from reading.found(where, *values)

    @contextmanager
    def _open(self) -> Iterator[tuple[sqlite3.Connection, Position | None]]:
        """The index, brought up to date; one that cannot be, because it is damaged, is made anew."""
        for again in (False, True):
            with closing(self._connect()) as database:
                try:
                    database.execute("PRAGMA journal_mode = WAL")
                    # A power cut takes the last entries, which are read again, and no others.
                    database.execute("PRAGMA synchronous = NORMAL")
                    position = self._update(database)
                except sqlite3.Error as err:
                    if again or not _is_damage(err):
                        raise self._unusable(err) from err
                else:
                    with self._watching():
                        yield database, position
                    return
            self._remove()

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Removes an index that turns out to be damaged while it is read."""
        try:
            yield
        except IndexDamagedError:
            self._remove()
            raise
        except sqlite3.Error as err:
            if not _is_damage(err):
                raise self._unusable(err) from err
            self._remove()
            raise IndexDamagedError(self.file, str(err)) from err

    def _unusable(self, err: sqlite3.Error) -> TraceError:
        return TraceError(
            f"the index {self.file} cannot be used ({err}); delete it, and it is made anew"
        )

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self.file, timeout=_TIMEOUT_SECONDS, isolation_level=None)
        except sqlite3.Error as err:
            raise self._unusable(err) from err

    def _remove(self) -> None:
        """The file, and what SQLite keeps beside it. Whoever has it open keeps what is open."""
        for beside in ("", "-wal", "-shm"):
            self.file.with_name(self.file.name + beside).unlink(missing_ok=True)

    def _update(self, database: sqlite3.Connection) -> Position | None:
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
            intake = Intake(database)
            for group in read_groups(self._directory, after=after):
                intake.take(group)
            position = intake.write() or position
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        return position

    def _is_all(self, database: sqlite3.Connection) -> bool:
        """Whether it holds what can be read: it may have been made without the archive."""
        (first,) = database.execute("SELECT min(number) FROM entry").fetchone()
        return not first or int(all_segments(self._directory)[0].stem) == first

    def _known(self, database: sqlite3.Connection) -> Position | None:
        """Where the index ended, if it is one of this very log."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            row = database.execute(
                "SELECT origin, segment, start, size, digest FROM position"
            ).fetchone()
            if row is not None and None not in row:
                position = Position(*row)
                if is_end_of(self._directory, position) and self._is_all(database):
                    return position
        make_tables(database)
        return None


class Reading:
    """An index that is open; the log is read as far as it went when it was opened."""

    def __init__(
        self,
        database: sqlite3.Connection,
        position: Position | None,
        segments_read: _Segments,
        file: Path,
    ) -> None:
        self._database = database
        self._position = position
        self._segments = segments_read
        self._file = file

    def run(self, run: str) -> Iterator[RecordedEntry]:
        """See `TraceIndex.run`."""
        found = 0
        for entry in self.found("run = ?", run):
            found += 1
            yield entry
        row = self._database.execute("SELECT entries FROM run WHERE run = ?", (run,)).fetchone()
        if (0 if row is None else row[0]) != found:
            raise IndexDamagedError(self._file, f"it leads to {found} entries of a run")

    def all_of(self, kind: Literal["config", "run.start"]) -> Iterator[RecordedEntry]:
        """See `TraceIndex.all_of`."""
        yield from self.found("number IN (SELECT number FROM head WHERE type = ?)", kind)

    def calls(self, wanted: CallFilter, *, newest_first: bool) -> Iterator[list[RecordedEntry]]:
        """See `TraceIndex.calls`."""
        condition, values = wanted.condition()
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        last = MAX_INTEGER if newest_first else -1
        while True:
            numbers = self._database.execute(
                f"SELECT number, run, call FROM call WHERE {condition}"  # noqa: S608 - fixed texts
                f" AND number {sign} ? ORDER BY number {order} LIMIT {_CALLS_AT_ONCE}",
                (*values, last),
            ).fetchall()
            for number, run, call in numbers:
                entries = list(self.found("call = ? AND run = ?", call, run))
                if not entries or entries[0].index != number:
                    fault = f"it leads to no call that begins with entry {number}"
                    raise IndexDamagedError(self._file, fault)
                yield entries
                last = number
            if len(numbers) < _CALLS_AT_ONCE:
                return

    def rules(self, since: int) -> list[tuple[str, str | None, int]]:
        """See `TraceIndex.rules`."""
        return self._database.execute(
            "SELECT word, ended, count(*) FROM call JOIN word USING (number)"
            " WHERE kind = 'rule' AND time >= ? GROUP BY word, ended"
            " ORDER BY count(*) DESC, word",
            (since,),
        ).fetchall()

    def days(self, since: int) -> list[tuple[int, str | None, bool, int]]:
        """See `TraceIndex.days`."""
        rows = self._database.execute(
            "SELECT time / 86400000000, ended, answered.number IS NOT NULL, count(*) FROM call"
            " LEFT JOIN (SELECT DISTINCT number FROM word WHERE kind = 'approver') AS answered"
            " ON answered.number = call.number WHERE time >= ? GROUP BY 1, 2, 3",
            (since,),
        )
        return [(day, ended, bool(answered), many) for day, ended, answered, many in rows]

    def summaries(self, query: str, *values: str | int) -> Iterator[RunSummary]:
        """Runs at a glance, of a query that gives each and the number of its first entry."""
        last = "number = (SELECT max(number) FROM entry WHERE run = ?)"
        ends = "SELECT ended, count(*) FROM call WHERE run = ? GROUP BY ended"
        for run, number in self._database.execute(query, values).fetchall():
            (first,), (newest,) = self.found("number = ?", number), self.found(last, run)
            counted = dict(self._database.execute(ends, (run,)).fetchall())
            yield RunSummary(first, newest, counted)

    def found(self, where: str, *values: str | int) -> Iterator[RecordedEntry]:
        """Entries by a condition of SQL, in order."""
        if self._position is None:
            return
        rows = self._database.execute(f"{_WHERE} {where} ORDER BY number", values).fetchall()
        for number, segment, start, size in rows:
            data = self._segments.read(segment, start, size)
            if not data.startswith(ENTRY_PREFIX) or not data.endswith(b"\n"):
                raise IndexDamagedError(self._file, f"it does not say where entry {number} is")
            found = _entry_at(data, self._position.origin)
            if found.index != number:
                fault = f"it leads to entry {found.index}, not {number}"
                raise IndexDamagedError(self._file, fault)
            yield found


class _Segments:
    """The segments of a log, each opened once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[int, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def read(self, segment: int, start: int, size: int) -> bytes:
        """Bytes of one; none when it is gone, or does not go that far.

        Raises:
            TraceError: it cannot be read.
        """
        try:
            if segment not in self._files:
                if len(self._files) >= _FILES_OPEN:
                    self._files.pop(next(iter(self._files))).close()
                self._files[segment] = self._path(segment).open("rb")
            file = self._files[segment]
            if not 0 <= start <= start + size <= os.fstat(file.fileno()).st_size:
                return b""
            file.seek(start)
            return file.read(size)
        except FileNotFoundError:
            return b""
        except OSError as err:
            raise TraceError(f"the log cannot be read: {err.strerror}") from err

    def _path(self, segment: int) -> Path:
        path = segment_path(self._directory, segment)
        if path.exists():
            return path
        archived = load_archived(self._directory)
        moved = {each.name: each.path for each in archived.segments} if archived else {}
        found = moved.get(path.name, path)
        if found is not path and not found.exists():
            raise TraceError(f"the archive {found.parent} is not there, and {found.name} in it")
        return found


def is_end_of(directory: Path, position: Position) -> bool:
    """Whether a log has the very line at which an index says that it ends.

    Raises:
        TraceError: it cannot be read.
    """
    with _Segments(directory) as segments_read:
        line = segments_read.read(position.segment, position.start, position.size)
    return hashlib.sha256(line).digest() == position.digest


def _is_damage(err: sqlite3.Error) -> bool:
    code = getattr(err, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _can_write(file: Path) -> bool:
    return os.access(file if file.exists() else file.parent, os.W_OK)


def _entry_at(data: bytes, origin: str) -> RecordedEntry:
    entry, *contents = data.split(b"\n")[:-1] or [b""]
    return recorded(entry, contents, origin)
