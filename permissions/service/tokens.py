"""Tokens by which clients of the network are known, kept as hashes.

A token is random (256 bits), shown once when it is created, and good for one client of the
settings until it expires or is revoked; the daemon asks at each connection and each request.
What is kept is its SHA-256 hash: enough to know it again, and nothing to use.

Not protected from: whoever copies a token is its client until it is revoked. A certificate
(mTLS) cannot be copied from what is sent.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.database import Schema
from permissions.errors import ConfigError

if TYPE_CHECKING:
    import sqlite3

    from permissions.database import StateDatabase

PREFIX = "wardline-token-"
"""What each begins with, so that scanners of secrets know one."""
_FORM = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}")

SCHEMA = Schema(
    owner="service_token",
    migrations=(
        (
            """
            CREATE TABLE service_token (
                id TEXT PRIMARY KEY,
                hash BLOB NOT NULL UNIQUE,
                client TEXT NOT NULL,
                created INTEGER NOT NULL,
                expires INTEGER NOT NULL,
                revoked INTEGER
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token, which is not the token.

    Attributes:
        id: by which it is revoked.
        client: of the settings.
        created, expires, revoked: microseconds since 1970 UTC; None for not revoked.
    """

    id: str
    client: str
    created: int
    expires: int
    revoked: int | None = None


class TokenStore:
    """The tokens of one daemon, in its state. Every method raises `StateError` when it cannot."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def create(self, client: str, *, now: int, expires: int) -> tuple[Token, str]:
        """A new token, and its text, which is nowhere else."""
        text = PREFIX + secrets.token_urlsafe(32)
        token = Token(f"tok-{secrets.token_hex(4)}", client, now, expires)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO service_token VALUES (?, ?, ?, ?, ?, NULL)",
                (token.id, _hash(text), client, now, expires),
            )

        await self._database.write(work)
        return token, text

    async def client_of(self, text: str, *, now: int) -> str | None:
        """The client that a token's text is good for now; None for none."""
        if _FORM.fullmatch(text) is None:
            return None

        def work(connection: sqlite3.Connection) -> str | None:
            found = connection.execute(
                "SELECT client FROM service_token"
                " WHERE hash = ? AND revoked IS NULL AND created <= ? AND expires > ?",
                (_hash(text), now, now),
            ).fetchone()
            return None if found is None else str(found[0])

        return await self._database.read(work)

    async def listed(self) -> list[Token]:
        """All, oldest first."""

        def work(connection: sqlite3.Connection) -> list[Token]:
            rows = connection.execute(
                "SELECT id, client, created, expires, revoked FROM service_token"
                " ORDER BY created, id"
            )
            return [Token(*row) for row in rows]

        return await self._database.read(work)

    async def revoke(self, name: str, *, now: int) -> int:
        """Revokes the token of that id, or all of that client; says how many.

        Raises:
            ConfigError: there is none.
        """

        def work(connection: sqlite3.Connection) -> int:
            done = connection.execute(
                "UPDATE service_token SET revoked = ?"
                " WHERE (id = ? OR client = ?) AND revoked IS NULL",
                (now, name, name),
            )
            return done.rowcount

        if not (count := await self._database.write(work)):
            raise ConfigError(
                f"no token in use has the id, or the client, {name[:80]!r};"
                " `wardline service token list` shows them"
            )
        return count


def _hash(text: str) -> bytes:
    """Of 256 random bits, which nobody can guess from it."""
    return hashlib.sha256(text.encode()).digest()
