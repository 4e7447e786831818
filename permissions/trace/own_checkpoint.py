"""What a broker remembers of its own log, outside of it.

A log that is cut at a checkpoint, restored from a backup, replaced or gone cannot tell by
itself. So a broker keeps the last signed checkpoint of its log in its database and, where one
is configured, in a folder away from the state folder; a log that does not reach that far, or is
another one, is not continued. Neither is one that the database knows nothing of: what people
answered, budgets and calls in doubt were lost with it.

Kept at the start, at the end, and about once a second with what is recorded in between: of a
broker that was killed, the last second is not covered. A state folder that was restored whole
is found by the folder alone; who may write both can hide a cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from permissions.database import Schema
from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.known_checkpoints import Known, KnownCheckpoints

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from permissions.database import StateDatabase
    from permissions.signing.keys import PublicKey

SCHEMA = Schema(
    owner="trace",
    migrations=(
        (
            """
            CREATE TABLE own_log (
                id INTEGER PRIMARY KEY CHECK (id = 1),
                checkpoint TEXT NOT NULL
            ) STRICT
            """,
        ),
    ),
)


class CheckpointMemory(Protocol):
    """Somewhere outside of the log that remembers its last checkpoint."""

    @property
    def source(self) -> str:
        """What it is, for people."""
        ...

    @property
    def is_as_old(self) -> bool:
        """Whether it is made with the log, so that it was lost when it knows nothing of one."""
        ...

    async def last(self) -> str | None:
        """The signed checkpoint kept last, if any was.

        Raises:
            StateError: the database cannot be read.
            TraceError: the folder cannot be read, or what is kept is no checkpoint.
        """
        ...

    async def keep(self, checkpoint: str) -> None:
        """Keeps a checkpoint, durably.

        Raises:
            StateError: the database cannot be written.
            TraceError: the folder cannot be written.
        """
        ...


class DatabaseMemory:
    """In the broker's own database."""

    is_as_old = True

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        self.source = str(database.path)

    async def last(self) -> str | None:
        """See `CheckpointMemory`."""

        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT checkpoint FROM own_log").fetchone()
            return None if row is None else str(row[0])

        kept = await self._database.read(work)
        if kept is not None:
            try:
                parse_checkpoint(kept)
            except TraceError as err:
                raise TraceIntegrityError(
                    f"the state database {self.source} is damaged: what it keeps of the log is no"
                    " checkpoint; put it back from a copy, or move it away and begin a new log:"
                    " wardline trace renew"
                ) from err
        return kept

    async def keep(self, checkpoint: str) -> None:
        """See `CheckpointMemory`."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO own_log VALUES (1, ?)"
                " ON CONFLICT (id) DO UPDATE SET checkpoint = excluded.checkpoint",
                (checkpoint,),
            )

        await self._database.write(work)


class FolderMemory:
    """In a folder that several brokers may share, by the folder their log lies in."""

    is_as_old = False  # it may be configured later

    def __init__(self, folder: Path, *, log: Path, key: PublicKey) -> None:
        self._known = KnownCheckpoints(folder)
        self._log = log
        self._key = key
        self.source = str(folder)

    async def last(self) -> str | None:
        """See `CheckpointMemory`."""
        held = self._known.log_in(self._log)
        return None if held is None else self._known.get(held.origin)

    async def keep(self, checkpoint: str) -> None:
        """See `CheckpointMemory`."""
        now = Known(parse_checkpoint(checkpoint).origin, self._key)
        self._known.remember(checkpoint)
        if self._known.log_in(self._log) != now:
            self._known.remember_log(self._log, now)
