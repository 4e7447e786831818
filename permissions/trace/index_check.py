"""Whether a log's index says what the log says: no row less, none more, none other.

Those who ask an index believe it where it is silent: a row that somebody took out of it hides a
call. So a verification makes an index of its own from the log, up to where the one that is there
ends, and compares table with table, and the SQLite structures that questions go by.

The file is copied first: what is verified stays as it lies, and a broker may be at work.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from permissions.errors import TraceError
from permissions.trace.archived import load_archived
from permissions.trace.index import is_end_of
from permissions.trace.index_tables import NAMES, VERSION, Intake, Position, make_tables
from permissions.trace.reader import read_groups

if TYPE_CHECKING:
    from permissions.model import JsonObject

CODE: Final = "index.differs"
_TRIES = 5
_SCHEMA = "SELECT type, name, tbl_name, sql FROM {}.sqlite_schema"


class IndexCheck(NamedTuple):
    """What became of comparing an index with its log."""

    file: Path
    faults: tuple[str, ...] = ()
    """What it says that the log does not, or the other way round."""
    skipped: str = ""
    """Why nothing was compared. Nobody believes such an index, or its log is not here whole."""

    def document(self) -> JsonObject:
        """As JSON: the code is null when it says what the log says, or was not compared."""
        return {
            "file": str(self.file),
            "code": CODE if self.faults else None,
            "faults": list(self.faults),
            "skipped": self.skipped or None,
        }


def check_index(directory: Path, file: Path, *, alone: bool = False) -> IndexCheck | None:
    """Compares an index with the log it was made from, as far as it goes; None without one.

    Says nothing of the log itself: that is what `verify_trace` is for.

    Args:
        directory: of the log.
        file: the index.
        alone: whether the archive is left out.

    Raises:
        TraceError: the log or the index cannot be read.
        TraceIntegrityError: a line of the log is malformed.
    """
    if not file.exists():
        return None
    archived = load_archived(directory)
    if archived is not None and (alone or archived.paths() is None):
        return IndexCheck(file, skipped="the archive is not read")
    with tempfile.TemporaryDirectory(prefix="wardline-index-") as made:
        copy = Path(made) / "given"
        if not _copied(file, copy):
            return IndexCheck(file, skipped="it is being written")
        with closing(sqlite3.connect(Path(made) / "own", isolation_level=None)) as database:
            try:
                return _compared(database, directory, file, copy)
            except sqlite3.Error as err:
                return IndexCheck(file, (f"it is damaged ({err})",))


def _compared(
    database: sqlite3.Connection, directory: Path, file: Path, copy: Path
) -> IndexCheck:
    make_tables(database)  # before the other ones of their names are there
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("ATTACH ? AS given", (str(copy),))
    if database.execute("PRAGMA given.user_version").fetchone() != (VERSION,):
        return IndexCheck(file, skipped="it is of another version")
    database.execute("BEGIN")
    own, given = (
        set(database.execute(_SCHEMA.format(name)).fetchall()) for name in ("main", "given")
    )
    if own != given:
        names = sorted({str(name) for _, name, *_ in own ^ given})
        return IndexCheck(file, (f"its tables are not those of an index: {names[0][:40]!r}",))
    row = database.execute(
        "SELECT origin, segment, start, size, digest FROM given.position"
    ).fetchone()
    position = None if row is None or None in row else Position(*row)
    if position is None or not is_end_of(directory, position):
        return IndexCheck(file, skipped="it is of another log")
    (said,) = database.execute("PRAGMA given.integrity_check(1)").fetchone()
    if said != "ok":
        return IndexCheck(file, (f"it is damaged ({str(said)[:120]})",))
    intake = Intake(database)
    for group in read_groups(directory):
        intake.take(group)
        line = group.checkpoint
        if (int(line.segment.stem), line.offset) >= (position.segment, position.start):
            break
    intake.write()
    faults = [fault for name in NAMES if (fault := _fault(database, name)) is not None]
    return IndexCheck(file, tuple(faults))


def _fault(database: sqlite3.Connection, name: str) -> str | None:
    """How a table differs, if it does."""
    only = "FROM (SELECT * FROM {}.{} EXCEPT SELECT * FROM {}.{})"
    told = []
    for one, other, what in (
        ("main", "given", "rows missing"),
        ("given", "main", "rows that the log does not say"),
    ):
        rows = only.format(one, name, other, name)
        (count,) = database.execute(f"SELECT count(*) {rows}").fetchone()
        if count:
            key = _KEYS[name]
            (first,) = database.execute(f"SELECT min({key}) {rows}").fetchone()
            told.append(f"{what}: {count}, from {key} {str(first)[:60]} on")
    return f"table {name}: {'; '.join(told)}" if told else None


_KEYS = {name: "run" if name == "run" else "number" for name in NAMES} | {"position": "start"}


def _copied(file: Path, copy: Path) -> bool:
    """Copies it with what SQLite has not moved into it yet; false when it changes all the time."""
    log, log_copy = (each.with_name(f"{each.name}-wal") for each in (file, copy))
    try:
        for _ in range(_TRIES):
            before = _state(file), _state(log)
            shutil.copyfile(file, copy)
            log_copy.unlink(missing_ok=True)
            if before[1] is not None:
                shutil.copyfile(log, log_copy)
            if (_state(file), _state(log)) == before:
                return True
    except FileNotFoundError:
        return False  # removed, or made anew
    except OSError as err:
        raise TraceError(f"the index {file} cannot be read: {err.strerror}") from err
    return False


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
