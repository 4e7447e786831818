"""Which runs were delegated by which, and which of them were revoked.

Durable, so that a person at a command line stops sub-agents of a process that runs. Revoking a
run stops those it sent as well: a sub-agent asks about its whole chain before each call starts.

Not protected from: a call that has started when its run is revoked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from permissions.database import Schema
from permissions.errors import DelegationError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from permissions.database import StateDatabase


@dataclass(frozen=True, slots=True)
class Delegated:
    """One run that another one sent.

    Attributes:
        run: of the sub-agent.
        parent: the run that sent it.
        agent: name of the sub-agent.
        tools: that it may use itself.
        opened, expires, revoked: microseconds since 1970 UTC; None for never.
    """

    run: str
    parent: str
    agent: str
    tools: tuple[str, ...]
    opened: int
    expires: int | None = None
    revoked: int | None = None


class DelegationStore(Protocol):
    """Keeps delegated runs. Every method raises `StateError` when it cannot."""

    async def put(self, delegated: Delegated) -> None:
        """Keeps one; a run that goes on keeps whether it was revoked.

        Raises:
            DelegationError: the run is another's.
        """
        ...

    async def revoked(self, runs: Sequence[str]) -> str | None:
        """The first of these runs that was revoked."""
        ...

    async def revoke(self, run: str, *, now: int) -> int:
        """Stops a run's sub-agents, and the run itself when it is one; says how many it stops.

        Raises:
            DelegationError: no such run was delegated or delegates.
        """
        ...

    async def listed(self) -> list[Delegated]:
        """All, oldest first."""
        ...


class InMemoryDelegationStore:
    """A `DelegationStore` for one process."""

    def __init__(self) -> None:
        self._known: dict[str, Delegated] = {}
        self._revoked: dict[str, int] = {}

    async def put(self, delegated: Delegated) -> None:
        """See `DelegationStore`."""
        known = self._known.setdefault(delegated.run, delegated)
        if (known.parent, known.agent) != (delegated.parent, delegated.agent):
            raise _anothers(delegated.run)

    async def revoked(self, runs: Sequence[str]) -> str | None:
        """See `DelegationStore`."""
        return next((run for run in runs if run in self._revoked), None)

    async def revoke(self, run: str, *, now: int) -> int:
        """See `DelegationStore`."""
        below = _below(run, [*self._known.values()])
        if not below:
            raise _unknown(run)
        self._revoked.setdefault(run, now)
        return len(below)

    async def listed(self) -> list[Delegated]:
        """See `DelegationStore`."""
        found = sorted(self._known.values(), key=lambda each: (each.opened, each.run))
        return _with_revocations(found, self._revoked)


SCHEMA = Schema(
    owner="delegation",
    migrations=(
        (
            """
            CREATE TABLE delegation (
                run TEXT PRIMARY KEY,
                parent TEXT NOT NULL,
                agent TEXT NOT NULL,
                tools TEXT NOT NULL,
                opened INTEGER NOT NULL,
                expires INTEGER
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE delegation_revoked (
                run TEXT PRIMARY KEY, at INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
)


class SqliteDelegationStore:
    """A `DelegationStore` in the shared state file."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def put(self, delegated: Delegated) -> None:
        """See `DelegationStore`."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR IGNORE INTO delegation VALUES (?, ?, ?, ?, ?, ?)",
                (
                    delegated.run,
                    delegated.parent,
                    delegated.agent,
                    "\n".join(delegated.tools),
                    delegated.opened,
                    delegated.expires,
                ),
            )
            known = connection.execute(
                "SELECT parent, agent FROM delegation WHERE run = ?", (delegated.run,)
            ).fetchone()
            if tuple(known) != (delegated.parent, delegated.agent):
                raise _anothers(delegated.run)

        await self._database.write(work)

    async def revoked(self, runs: Sequence[str]) -> str | None:
        """See `DelegationStore`."""

        def work(connection: sqlite3.Connection) -> str | None:
            for run in runs:
                found = connection.execute(
                    "SELECT 1 FROM delegation_revoked WHERE run = ?", (run,)
                ).fetchone()
                if found is not None:
                    return run
            return None

        return await self._database.read(work)

    async def revoke(self, run: str, *, now: int) -> int:
        """See `DelegationStore`."""

        def work(connection: sqlite3.Connection) -> int:
            below = _below(run, _rows(connection))
            if not below:
                raise _unknown(run)
            connection.execute(
                "INSERT OR IGNORE INTO delegation_revoked VALUES (?, ?)", (run, now)
            )
            return len(below)

        return await self._database.write(work)

    async def listed(self) -> list[Delegated]:
        """See `DelegationStore`."""

        def work(connection: sqlite3.Connection) -> list[Delegated]:
            revoked = dict(connection.execute("SELECT run, at FROM delegation_revoked"))
            return _with_revocations(_rows(connection), revoked)

        return await self._database.read(work)


def _rows(connection: sqlite3.Connection) -> list[Delegated]:
    rows = connection.execute(
        "SELECT run, parent, agent, tools, opened, expires FROM delegation ORDER BY opened, run"
    )
    return [
        Delegated(run, parent, agent, tuple(filter(None, tools.split("\n"))), opened, expires)
        for run, parent, agent, tools, opened, expires in rows
    ]


def _below(run: str, known: Sequence[Delegated]) -> set[str]:
    """The run, when it was delegated, and all it sent, and they sent."""
    found = {each.run for each in known if each.run == run}
    reached = {run}
    while new := {e.run for e in known if e.parent in reached and e.run not in reached}:
        reached |= new
        found |= new
    return found


def _with_revocations(known: Sequence[Delegated], revoked: dict[str, int]) -> list[Delegated]:
    parents = {each.run: each.parent for each in known}

    def when(run: str) -> int | None:
        times, at, seen = [], run, set[str]()
        while at not in seen:
            seen.add(at)
            times += [revoked[at]] if at in revoked else []
            at = parents.get(at, at)
        return min(times, default=None)

    return [
        Delegated(e.run, e.parent, e.agent, e.tools, e.opened, e.expires, when(e.run))
        for e in known
    ]


def _anothers(run: str) -> DelegationError:
    return DelegationError(
        f"run {run[:80]!r} was delegated to another agent, or by another run"
    )


def _unknown(run: str) -> DelegationError:
    return DelegationError(
        f"no run {run[:80]!r} was delegated, and none was by it; `wardline delegation list`"
        " shows them"
    )
