"""Where grants are kept, counted and revoked: the port, the durable store, and its twin in memory.

A grant is sealed as passkeys are, and its uses are counted in the same transaction in which one is
taken: of any number of racers no more than its uses get one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from permissions.database import Schema
from permissions.errors import ApprovalError, ApprovalUsedError

if TYPE_CHECKING:
    import sqlite3

    from permissions.database import StateDatabase
    from permissions.run_keys import RunKey, RunKeys

_KEPT_UNDER: Final = "\ngrants"
"""Sealed as if of a run that nobody can name: the ids of runs have no line breaks."""


@dataclass(frozen=True, slots=True)
class KeptGrant:
    """A signed grant, how often it was used, and when it was revoked (microseconds, or None)."""

    id: str
    envelope: str
    uses: int
    used: int = 0
    revoked_at: int | None = None


class GrantStore(Protocol):
    """Keeps grants; every method raises `StateError` when it cannot."""

    async def add(self, kept: KeptGrant) -> None:
        """Keeps a new one.

        Raises:
            ApprovalError: its id is taken.
        """
        ...

    async def listed(self) -> tuple[KeptGrant, ...]:
        """All that were ever made, in that order."""
        ...

    async def use(self, name: str) -> KeptGrant:
        """Takes one use; durable on return.

        Raises:
            ApprovalUsedError: none is left, or it was revoked.
            ApprovalError: there is none of that id.
        """
        ...

    async def revoke(self, name: str, at: int) -> KeptGrant:
        """Lets it count no more, for good.

        Raises:
            ApprovalError: there is none of that id.
        """
        ...


def taken(kept: KeptGrant) -> KeptGrant:
    """The grant after one more use.

    Raises:
        ApprovalUsedError: none is left, or it was revoked.
    """
    if kept.revoked_at is not None or kept.used >= kept.uses:
        raise ApprovalUsedError(f"the grant {kept.id} has no use left")
    return replace(kept, used=kept.used + 1)


SCHEMA = Schema(
    owner="grants",
    migrations=(
        (
            """
            CREATE TABLE approval_grant (
                position INTEGER PRIMARY KEY,
                id TEXT NOT NULL UNIQUE,
                envelope BLOB NOT NULL,
                uses INTEGER NOT NULL,
                used INTEGER NOT NULL DEFAULT 0,
                revoked_at INTEGER,
                CHECK (used <= uses)
            ) STRICT
            """,
        ),
    ),
)
_COLUMNS = "SELECT id, envelope, uses, used, revoked_at FROM approval_grant"


class SqliteGrantStore:
    """Grants in the shared state file."""

    def __init__(self, database: StateDatabase, keys: RunKeys) -> None:
        self._database = database
        self._keys = keys

    async def add(self, kept: KeptGrant) -> None:
        """See `GrantStore`."""

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute(f"{_COLUMNS} WHERE id = ?", (kept.id,)).fetchone():
                raise ApprovalError(f"the grant {kept.id!r} is there already")
            sealed = self._key(connection).seal(kept.envelope.encode(), name=kept.id)
            connection.execute(
                "INSERT INTO approval_grant (id, envelope, uses) VALUES (?, ?, ?)",
                (kept.id, sealed, kept.uses),
            )

        await self._database.write(work)

    async def listed(self) -> tuple[KeptGrant, ...]:
        """See `GrantStore`."""

        def work(connection: sqlite3.Connection) -> tuple[KeptGrant, ...]:
            rows = connection.execute(f"{_COLUMNS} ORDER BY position").fetchall()
            key = self._key(connection) if rows else None
            return tuple(
                KeptGrant(row[0], key.open(row[1], name=row[0]).decode(), *row[2:])
                for row in rows
                if key is not None
            )

        return await self._database.read(work)

    async def use(self, name: str) -> KeptGrant:
        """See `GrantStore`."""

        def work(connection: sqlite3.Connection) -> KeptGrant:
            after = taken(self._one(connection, name))
            connection.execute(
                "UPDATE approval_grant SET used = ? WHERE id = ?", (after.used, name)
            )
            return after

        return await self._database.write(work)

    async def revoke(self, name: str, at: int) -> KeptGrant:
        """See `GrantStore`."""

        def work(connection: sqlite3.Connection) -> KeptGrant:
            found = self._one(connection, name)
            after = replace(found, revoked_at=found.revoked_at or at)
            connection.execute(
                "UPDATE approval_grant SET revoked_at = ? WHERE id = ?",
                (after.revoked_at, name),
            )
            return after

        return await self._database.write(work)

    def _one(self, connection: sqlite3.Connection, name: str) -> KeptGrant:
        row = connection.execute(f"{_COLUMNS} WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise _unknown(name)
        return KeptGrant(
            row[0], self._key(connection).open(row[1], name=row[0]).decode(), *row[2:]
        )

    def _key(self, connection: sqlite3.Connection) -> RunKey:
        return self._keys.made(connection, _KEPT_UNDER)


class InMemoryGrantStore:
    """A `GrantStore` without a disk."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptGrant] = {}

    async def add(self, kept: KeptGrant) -> None:
        """See `GrantStore`."""
        if kept.id in self._kept:
            raise ApprovalError(f"the grant {kept.id!r} is there already")
        self._kept[kept.id] = kept

    async def listed(self) -> tuple[KeptGrant, ...]:
        """See `GrantStore`."""
        return tuple(self._kept.values())

    async def use(self, name: str) -> KeptGrant:
        """See `GrantStore`."""
        self._kept[name] = taken(self._one(name))
        return self._kept[name]

    async def revoke(self, name: str, at: int) -> KeptGrant:
        """See `GrantStore`."""
        found = self._one(name)
        self._kept[name] = replace(found, revoked_at=found.revoked_at or at)
        return self._kept[name]

    def _one(self, name: str) -> KeptGrant:
        if name not in self._kept:
            raise _unknown(name)
        return self._kept[name]


def _unknown(name: str) -> ApprovalError:
    return ApprovalError(f"there is no grant {name[:80]!r}; wardline grant list")
