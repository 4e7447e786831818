"""The execution journal: a call with a stable key is started once, and answered from then on.

`begin` is durable before the tool runs, `finish` before its result is given away. What lies
between is *in doubt*: the process may have died before, in or after the effect, and nobody
can tell, so the call is not run again (ecosystem finding: resumed frameworks run finished
calls a second time). A second `begin` while the first still runs is in doubt as well.

Not protected from: an effect that happens without the broker, and an account that may write
the state file. Results are kept in clear in that file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from permissions.database import Schema
from permissions.errors import ExecutionError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from permissions.database import StateDatabase
    from permissions.run_keys import RunKey, RunKeys
    from permissions.vocabulary import Digest


@dataclass(frozen=True, slots=True)
class JournalKey:
    """What makes two calls one.

    Attributes:
        run: whose call it is.
        call: the caller's key, which says where in the run it stands.
        tool_digest: of the tool's definition; a tool that was changed is another one.
        args_digest: of the effective arguments.
    """

    run: str
    call: str
    tool_digest: Digest
    args_digest: Digest


@dataclass(frozen=True, slots=True)
class Fresh:
    """Never begun before: the caller that got this, and only they, may run it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Ran to an end before. `result` and `status` are what `finish` was given."""

    result: bytes
    status: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Was begun, and no end was recorded.

    Attributes:
        started_at: microseconds since 1970 UTC.
    """

    started_at: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """Was in doubt, and a person said what became of it; `statement` is what they signed."""

    statement: str


Known: TypeAlias = Finished | InDoubt | Resolved
Again: TypeAlias = "Callable[[Known], bool]"


def never(_known: Known) -> bool:
    """A call that was begun is not begun again."""
    return False


class ExecutionJournal(Protocol):
    """Remembers which calls were begun and how they ended.

    Every method raises `StateError` when it cannot read or make its write durable; the call
    must then not run.
    """

    async def find(self, key: JournalKey) -> Known | None:
        """What is known of a call, without beginning it."""
        ...

    async def begin(self, key: JournalKey, *, again: Again = never) -> Fresh | Known:
        """Begins a call unless it was begun before. Of any number of racers one is `Fresh`.

        Args:
            key: the call.
            again: whether a call of which this is known may begin anew all the same.
        """
        ...

    async def finish(self, key: JournalKey, *, result: bytes, status: str) -> None:
        """Records the end of a call that `begin` started.

        Raises:
            ExecutionError: it was not begun, or has an end already; the first one stays.
        """
        ...

    async def resolve(self, key: JournalKey, *, statement: str) -> None:
        """Keeps what a person found out about a call in doubt; the call may be unknown here.

        Raises:
            ExecutionError: it has an end, or was resolved before.
        """
        ...


class InMemoryJournal:
    """An `ExecutionJournal` for one process, gone with it."""

    def __init__(self, *, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._known: dict[JournalKey, Known] = {}

    async def find(self, key: JournalKey) -> Known | None:
        """See `ExecutionJournal`."""
        return self._known.get(key)

    async def begin(self, key: JournalKey, *, again: Again = never) -> Fresh | Known:
        """See `ExecutionJournal`."""
        if (known := self._known.get(key)) is not None and not again(known):
            return known
        self._known[key] = InDoubt(self._clock())
        return Fresh()

    async def finish(self, key: JournalKey, *, result: bytes, status: str) -> None:
        """See `ExecutionJournal`."""
        if not isinstance(self._known.get(key), InDoubt):
            raise _nothing_to_finish(key)
        self._known[key] = Finished(result, status)

    async def resolve(self, key: JournalKey, *, statement: str) -> None:
        """See `ExecutionJournal`."""
        if not isinstance(self._known.get(key, InDoubt(0)), InDoubt):
            raise _nothing_to_resolve(key)
        self._known[key] = Resolved(statement)


SCHEMA = Schema(
    owner="journal",
    migrations=(
        (
            """
            CREATE TABLE journal (
                run TEXT NOT NULL,
                call TEXT NOT NULL,
                tool_digest TEXT NOT NULL,
                args TEXT NOT NULL,
                started_at INTEGER NOT NULL,
                finished_at INTEGER,
                status TEXT,
                result BLOB,
                resolution BLOB,
                PRIMARY KEY (run, call, tool_digest, args),
                CHECK ((finished_at IS NULL) = (status IS NULL)),
                CHECK ((finished_at IS NULL) = (result IS NULL)),
                CHECK (finished_at IS NULL OR resolution IS NULL)
            ) STRICT
            """,
        ),
    ),
)


class SqliteJournal:
    """An `ExecutionJournal` in the shared state file.

    A call's key, its arguments' digest and its result are in there under the run's key only.
    """

    def __init__(
        self, database: StateDatabase, keys: RunKeys, *, clock: Callable[[], int]
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    async def find(self, key: JournalKey) -> Known | None:
        """See `ExecutionJournal`."""

        def work(connection: sqlite3.Connection) -> Known | None:
            run = self._keys.of(connection, key.run)
            return None if run is None else _known(connection, run, key)

        return await self._database.read(work)

    async def begin(self, key: JournalKey, *, again: Again = never) -> Fresh | Known:
        """See `ExecutionJournal`."""

        def work(connection: sqlite3.Connection) -> Fresh | Known:
            run = self._keys.made(connection, key.run)
            if (known := _known(connection, run, key)) is not None and not again(known):
                return known
            connection.execute(
                "INSERT OR REPLACE INTO journal (run, call, tool_digest, args, started_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (*_values(run, key), self._clock()),
            )
            return Fresh()

        return await self._database.write(work)

    async def finish(self, key: JournalKey, *, result: bytes, status: str) -> None:
        """See `ExecutionJournal`."""

        def work(connection: sqlite3.Connection) -> None:
            run = self._keys.made(connection, key.run)
            values = _values(run, key)
            done = connection.execute(
                "UPDATE journal SET finished_at = ?, status = ?, result = ?"
                " WHERE run = ? AND call = ? AND tool_digest = ? AND args = ?"
                " AND finished_at IS NULL AND resolution IS NULL",
                (self._clock(), status, run.seal(result, name=_named(values)), *values),
            )
            if done.rowcount != 1:
                raise _nothing_to_finish(key)

        await self._database.write(work)

    async def resolve(self, key: JournalKey, *, statement: str) -> None:
        """See `ExecutionJournal`."""

        def work(connection: sqlite3.Connection) -> None:
            run = self._keys.made(connection, key.run)
            values = _values(run, key)
            if not isinstance(_known(connection, run, key) or InDoubt(0), InDoubt):
                raise _nothing_to_resolve(key)
            connection.execute(
                "INSERT OR REPLACE INTO journal"
                " (run, call, tool_digest, args, started_at, resolution)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (*values, self._clock(), run.seal(statement.encode(), name=_named(values))),
            )

        await self._database.write(work)


def _known(connection: sqlite3.Connection, run: RunKey, key: JournalKey) -> Known | None:
    values = _values(run, key)
    row = connection.execute(
        "SELECT started_at, status, result, resolution FROM journal"
        " WHERE run = ? AND call = ? AND tool_digest = ? AND args = ?",
        values,
    ).fetchone()
    if row is None:
        return None
    started_at, status, result, resolution = row
    if resolution is not None:
        return Resolved(run.open(resolution, name=_named(values)).decode())
    if status is None:
        return InDoubt(started_at)
    return Finished(run.open(result, name=_named(values)), status)


def _values(run: RunKey, key: JournalKey) -> tuple[str, str, str, str]:
    return (
        key.run,
        run.tag("journal call", key.call),
        key.tool_digest,
        run.tag("journal args", key.args_digest),
    )


def _named(values: tuple[str, str, str, str]) -> str:
    """A result is bound to its call: put in another's row, it does not open."""
    return " ".join(("journal result", *values[1:]))


def _nothing_to_resolve(key: JournalKey) -> ExecutionError:
    return ExecutionError(
        f"the call {key.call[:80]!r} of run {key.run[:80]!r} is not in doubt: its end is known, or"
        " somebody resolved it"
    )


def _nothing_to_finish(key: JournalKey) -> ExecutionError:
    return ExecutionError(
        f"the journal has no open call {key.call[:80]!r} in run {key.run[:80]!r}; it was not"
        " begun, or its end is recorded already"
    )
