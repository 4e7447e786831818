"""The durable state of one machine: an SQLite file that several processes share.

It guarantees that a committed write survives the death of the process and of the machine
(WAL with `synchronous=FULL`), that writes of all processes happen one after the other
(`BEGIN IMMEDIATE`), that a file of a newer schema, of another program, or open to other
accounts is refused, and that nothing is read or written once the file was deleted or replaced. It knows
nothing of what is stored: the modules that own tables bring their `Schema`. The one table of
its own is that of the runs' keys (`permissions.run_keys`), which every table's contents need.

It does not protect from an account that may write the file. What must survive that (votes)
is signed by those who vouch for it. Longer than others because what makes a file unsafe to open
is one list, checked in one order. It needs a local file system; WAL does not work over a
network.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import anyio
import anyio.to_thread

from permissions.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")

STATE_FILE = "state.db"
"""Name of the file inside the configured state folder."""

_APPLICATION_ID = 0x57_41_52_44
"""`WARD` in the file's header (https://www.sqlite.org/fileformat.html, section 1.3.9)."""
_OPEN_RETRY_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one module.

    `migrations` are numbered by their position, from 1; each is a tuple of single statements
    that run together or not at all. A migration that was ever released is never edited.
    """

    owner: str
    migrations: tuple[tuple[str, ...], ...]


_RUN_KEYS = Schema(
    owner="run_keys",
    migrations=(
        ("CREATE TABLE run_key (run TEXT PRIMARY KEY, wrapped BLOB) STRICT, WITHOUT ROWID",),
    ),
)
"""`wrapped` is null once the run was erased."""


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    """One caller's write, waiting for a transaction to share."""

    work: Callable[[sqlite3.Connection], T]
    done: bool = False
    value: T | None = None
    error: BaseException | None = None


class StateDatabase:
    """An open state file. An async context manager: entering opens and migrates it.

    Writes that arrive while another one is being made durable share the next transaction,
    so that 64 callers pay for a handful of disk flushes and not for 64.

    Cancelling a `write` that has begun waits for it to end; one that waits its turn may
    still happen. A caller that needs to know asks again.

    Args:
        path: the file; created with mode 0600 (its folder 0700) when missing.
        schemas: of every module that will use this database.
        busy_seconds: how long to wait for another process' write before giving up.
        poll_seconds: how often `changed` looks for writes of other processes.
    """

    def __init__(
        self,
        path: Path,
        schemas: Sequence[Schema],
        *,
        busy_seconds: float = 5.0,
        poll_seconds: float = 0.05,
    ) -> None:
        self.path = path.absolute()
        self._schemas = (_RUN_KEYS, *schemas)
        self._busy_seconds = busy_seconds
        self._poll_seconds = poll_seconds
        self._connections: tuple[sqlite3.Connection, sqlite3.Connection] | None = None
        self._pid = 0
        self._identity = (0, 0)
        self._queue: list[_Job[Any]] = []

    async def __aenter__(self) -> Self:
        """Opens the file.

        Raises:
            StateError: it cannot be opened safely: wrong owner, mode or kind of file, a newer
                schema, damage, or no write-ahead log on this file system.
        """
        # One worker thread per connection; named here so that a busy disk never eats the
        # threads that other blocking work waits for.
        self._limiter = anyio.CapacityLimiter(2)
        self._writing = anyio.Lock()
        self._reading = anyio.Lock()
        self._written = anyio.Event()
        self._connections = await anyio.to_thread.run_sync(self._open, limiter=self._limiter)
        self._pid = os.getpid()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the file after the write that is under way."""
        with anyio.CancelScope(shield=True):
            async with self._writing, self._reading:
                connections, self._connections = self._connections, None
                for connection in connections or ():
                    await anyio.to_thread.run_sync(connection.close, limiter=self._limiter)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a worker thread on one consistent snapshot.

        Raises:
            StateError: the database is closed, damaged or cannot be read.
        """
        async with self._reading:
            _, reader = self._opened()
            return await anyio.to_thread.run_sync(
                self._snapshot, reader, work, limiter=self._limiter
            )

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a worker thread inside a transaction; durable on return.

        An exception of `work` undoes what it did, leaves other callers' writes alone, and is
        raised here.

        Raises:
            StateError: nothing was written: closed, disk full, locked for too long, damaged.
        """
        job = _Job(work)
        self._queue.append(job)
        try:
            async with self._writing:
                if not job.done:
                    writer, _ = self._opened()
                    jobs, self._queue = self._queue, []
                    # The jobs left the queue: whoever is cancelled now, they are all answered.
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(
                            self._transact, writer, jobs, limiter=self._limiter
                        )
                    self._written.set()
                    self._written = anyio.Event()
        finally:
            if job in self._queue:
                self._queue.remove(job)
        if job.error is not None:
            raise job.error
        return job.value  # type: ignore[return-value]  # set by `_transact` with `done`

    async def end_log(self) -> None:
        """Moves all of the write-ahead log into the file and empties it.

        What was overwritten is then nowhere any more (`secure_delete`). For erasures; SQLite does
        it by itself now and then.

        Raises:
            StateError: a reader of another process did not let go of it in time; try again.
        """
        async with self._writing, self._reading:
            writer, _ = self._opened()
            row = await anyio.to_thread.run_sync(
                _first_row, writer, "PRAGMA wal_checkpoint(TRUNCATE)", limiter=self._limiter
            )
        if row[0]:
            raise StateError(
                f"another process reads {self.path}, so what was erased is still in its log;"
                " try again"
            )

    async def changed(self, since: int | None) -> int:
        """Waits until any process wrote after the token `since`; returns the new token.

        With `None` it returns the present token at once. A token says nothing outside of
        this object. Has no deadline: the caller sets one.

        Raises:
            StateError: as `read`.
        """
        while True:
            written = self._written
            async with self._reading:
                _, reader = self._opened()
                # Changes when any other connection commits, our own writer's included
                # (https://www.sqlite.org/pragma.html#pragma_data_version).
                (token,) = await anyio.to_thread.run_sync(
                    _first_row, reader, "PRAGMA data_version", limiter=self._limiter
                )
            if token != since:
                return int(token)
            with anyio.move_on_after(self._poll_seconds):
                await written.wait()

    def _opened(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        if self._connections is None:
            raise StateError(f"the state database {self.path} is not open; enter it first")
        if self._pid != os.getpid():
            raise StateError(
                f"the state database {self.path} was opened before a fork; an SQLite"
                " connection must not cross one, so open it again in this process"
            )
        return self._connections

    def _transact(self, writer: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        try:
            writer.execute("BEGIN IMMEDIATE")
            for job in jobs:
                writer.execute("SAVEPOINT job")
                try:
                    job.value = job.work(writer)
                except Exception as err:  # handed to the caller it belongs to
                    if not writer.in_transaction:  # it ended all of it: disk full, I/O
                        lost = sqlite3.OperationalError("the transaction ended early")
                        raise err if isinstance(err, sqlite3.Error) else lost from err
                    writer.execute("ROLLBACK TO job")
                    job.error = self._fault(err) if isinstance(err, sqlite3.Error) else err
                writer.execute("RELEASE job")
            self._require_in_place()
            writer.execute("COMMIT")
        except (sqlite3.Error, StateError) as err:
            for job in jobs:
                job.error = self._fault(err) if isinstance(err, sqlite3.Error) else err
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        finally:
            for job in jobs:
                job.done = True

    def _snapshot(
        self, reader: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]
    ) -> T:
        self._require_in_place()
        try:
            reader.execute("BEGIN")
            try:
                return work(reader)
            finally:
                reader.execute("ROLLBACK")
        except sqlite3.Error as err:
            raise self._fault(err) from err

    def _require_in_place(self) -> None:
        """SQLite would go on with a file that nobody can find any more."""
        try:
            identity = _identity(self.path)
        except OSError:
            identity = None
        if identity != self._identity:
            raise StateError(
                f"the state database {self.path} was deleted or replaced while it was open;"
                " put the file back or start again"
            )

    def _fault(self, err: sqlite3.Error) -> StateError:
        fault = StateError(
            f"the state database {self.path} failed: {err}"
            f" ({getattr(err, 'sqlite_errorname', 'no code')}); check the disk and who else"
            " holds the file"
        )
        fault.__cause__ = err
        return fault

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        _require_private_file(self.path)
        deadline = time.monotonic() + self._busy_seconds
        while True:
            with ExitStack() as opened:
                try:
                    writer = opened.enter_context(closing(self._connect()))
                    self._migrate(writer)
                    reader = opened.enter_context(closing(self._connect()))
                    reader.execute("PRAGMA query_only = ON")
                except sqlite3.Error as err:
                    # Switching to WAL, and recovering it after a crash, answer "busy" without
                    # waiting as `timeout` would have it.
                    busy = getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                    if not busy or time.monotonic() >= deadline:
                        raise self._fault(err) from err
                    time.sleep(_OPEN_RETRY_SECONDS)
                    continue
                opened.pop_all()
                self._identity = _identity(self.path)
                return writer, reader

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _configure(self, connection: sqlite3.Connection) -> None:
        # In this order: another process may be making the tables, and both appear at once.
        (tables,) = _first_row(connection, "SELECT count(*) FROM sqlite_schema")
        (owner,) = _first_row(connection, "PRAGMA application_id")
        if owner != _APPLICATION_ID and (owner or tables):
            raise StateError(
                f"{self.path} is an SQLite file of another program; choose another path"
            )
        (mode,) = _first_row(connection, "PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise StateError(
                f"{self.path} cannot have a write-ahead log (journal mode {mode!r}); put the"
                " state on a local file system"
            )
        for setting in (
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {setting}")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS schema_version"
                " (owner TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"
            )
            found: dict[str, int] = dict(
                cursor.execute("SELECT owner, version FROM schema_version").fetchall()
            )
            for schema in self._schemas:
                version, newest = found.get(schema.owner, 0), len(schema.migrations)
                if version > newest:
                    raise StateError(
                        f"{self.path} has version {version} of the {schema.owner} tables, this"
                        f" program knows up to {newest}; use the newer program"
                    )
                for statements in schema.migrations[version:]:
                    for statement in statements:
                        cursor.execute(statement)
                cursor.execute(
                    "INSERT INTO schema_version VALUES (?, ?)"
                    " ON CONFLICT (owner) DO UPDATE SET version = excluded.version",
                    (schema.owner, newest),
                )
        connection.execute("COMMIT")


def _first_row(connection: sqlite3.Connection, statement: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(statement).fetchone()
    return row


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _require_private_file(path: Path) -> None:
    """Creates the file for this account alone, or refuses one that others can reach.

    An existing file is looked at but never opened here: closing any descriptor of it would
    drop the locks SQLite holds for this process (https://www.sqlite.org/howtocorrupt.html,
    section 2.2).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = path.parent.stat()
        if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StateError(
                f"the folder {path.parent} is writable by others; `chmod go-w` it first"
            )
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise StateError(
                    f"{path} is not a plain file of this account; choose another path"
                ) from None
            if found.st_mode & 0o077:
                raise StateError(
                    f"{path} is open to other accounts (mode"
                    f" {stat.S_IMODE(found.st_mode):04o}); `chmod 600` it first"
                ) from None
    except OSError as err:
        raise StateError(f"the state database {path} cannot be made: {err}") from err
