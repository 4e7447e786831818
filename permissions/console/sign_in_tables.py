"""Links and sessions of the console in the shared state file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from permissions.console.sign_ins import SECOND, TOTAL_SECONDS, Link, Session
from permissions.database import Schema

if TYPE_CHECKING:
    import sqlite3

    from permissions.database import StateDatabase

SCHEMA = Schema(
    owner="console",
    migrations=(
        (
            """
            CREATE TABLE console_link (
                digest TEXT PRIMARY KEY,
                name TEXT NOT NULL,
                role TEXT NOT NULL,
                expires_at INTEGER NOT NULL,
                enrols INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE console_session (
                digest TEXT PRIMARY KEY,
                name TEXT NOT NULL,
                role TEXT NOT NULL,
                browser TEXT NOT NULL,
                began_at INTEGER NOT NULL,
                seen_at INTEGER NOT NULL,
                enrols INTEGER NOT NULL,
                by TEXT NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
)


class SqliteSignInStore:
    """A `SignInStore` that a daemon and the command line share."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def add_link(self, link: Link) -> None:
        """See `SignInStore`."""

        def work(connection: sqlite3.Connection) -> None:
            now = link.expires_at  # later than now, by as long as a link lives
            connection.execute(
                "DELETE FROM console_link WHERE expires_at < ?", (now - TOTAL_SECONDS * SECOND,)
            )
            connection.execute(
                "INSERT INTO console_link VALUES (?, ?, ?, ?, ?)",
                (link.digest, link.name, link.role, link.expires_at, link.enrols),
            )

        await self._database.write(work)

    async def take_link(self, digest: str) -> Link | None:
        """See `SignInStore`."""

        def work(connection: sqlite3.Connection) -> Link | None:
            row = connection.execute(
                "DELETE FROM console_link WHERE digest = ?"
                " RETURNING digest, name, role, expires_at, enrols",
                (digest,),
            ).fetchone()
            return None if row is None else _link(row)

        return await self._database.write(work)

    async def put_session(self, session: Session) -> None:
        """See `SignInStore`."""

        def work(connection: sqlite3.Connection) -> None:
            over = session.seen_at - TOTAL_SECONDS * SECOND
            connection.execute("DELETE FROM console_session WHERE began_at < ?", (over,))
            connection.execute(
                "INSERT OR REPLACE INTO console_session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    session.digest,
                    session.name,
                    session.role,
                    session.browser,
                    session.began_at,
                    session.seen_at,
                    session.enrols,
                    session.by,
                ),
            )

        await self._database.write(work)

    async def session(self, digest: str) -> Session | None:
        """See `SignInStore`."""

        def work(connection: sqlite3.Connection) -> Session | None:
            row: tuple[Any, ...] | None = connection.execute(
                "SELECT digest, name, role, browser, began_at, seen_at, enrols, by"
                " FROM console_session WHERE digest = ?",
                (digest,),
            ).fetchone()
            return None if row is None else _session(row)

        return await self._database.read(work)

    async def end(self, digest: str) -> None:
        """See `SignInStore`."""
        await self._database.write(
            lambda connection: connection.execute(
                "DELETE FROM console_session WHERE digest = ?", (digest,)
            )
        )

    async def end_all(self, name: str) -> int:
        """See `SignInStore`."""

        def work(connection: sqlite3.Connection) -> int:
            return sum(
                connection.execute(statement, (name,)).rowcount
                for statement in (
                    "DELETE FROM console_link WHERE name = ?",
                    "DELETE FROM console_session WHERE name = ?",
                )
            )

        return await self._database.write(work)


def _link(row: tuple[Any, ...]) -> Link:
    digest, name, role, expires_at, enrols = row
    return Link(digest, name, role, expires_at, enrols=bool(enrols))


def _session(row: tuple[Any, ...]) -> Session:
    digest, name, role, browser, began_at, seen_at, enrols, by = row
    return Session(digest, name, role, browser, began_at, seen_at, enrols=bool(enrols), by=by)
