"""Where enrolled passkeys are kept: the port, the durable store, and its twin in memory.

Only the public half is kept, sealed under a key of the state's own, so that whoever may write the
state file without the vault's key enrols nobody. Who a person is and what they may approve stands
in the settings alone; a passkey is a further key of somebody who is named there.

Not protected from: whoever may write the state file can bring an older copy of it back, in which
a passkey was not revoked yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from permissions.database import Schema
from permissions.errors import ApprovalError
from permissions.signing.passkey import Passkey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from permissions.database import StateDatabase
    from permissions.run_keys import RunKeys

_KEPT_UNDER: Final = "\napprovers"
"""Sealed as if of a run that nobody can name: the ids of runs have no line breaks."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A passkey and whose it is.

    Attributes:
        enrolled_at: microseconds since 1970 UTC.
        revoked_at: when it ceased to count; None while it does.
    """

    approver: str
    passkey: Passkey
    enrolled_at: int
    revoked_at: int | None = None


class PasskeyStore(Protocol):
    """Keeps enrolled passkeys; every method raises `StateError` when it cannot."""

    async def enrol(self, enrolled: Enrolled) -> None:
        """Keeps a new one.

        Raises:
            ApprovalError: that credential was enrolled before, if only to be revoked.
        """
        ...

    async def listed(self) -> tuple[Enrolled, ...]:
        """All that were ever enrolled, in that order."""
        ...

    async def revoke(self, credential: str, at: int) -> Enrolled:
        """Lets one count no more, for good.

        Raises:
            ApprovalError: there is none of that credential.
        """
        ...


SCHEMA = Schema(
    owner="passkeys",
    migrations=(
        (
            """
            CREATE TABLE passkey (
                position INTEGER PRIMARY KEY,
                credential TEXT NOT NULL UNIQUE,
                sealed BLOB NOT NULL
            ) STRICT
            """,
        ),
    ),
)


class SqlitePasskeyStore:
    """Passkeys in the shared state file."""

    def __init__(self, database: StateDatabase, keys: RunKeys) -> None:
        self._database = database
        self._keys = keys

    async def enrol(self, enrolled: Enrolled) -> None:
        """See `PasskeyStore`."""

        def work(connection: sqlite3.Connection) -> None:
            credential = enrolled.passkey.credential
            known = "SELECT 1 FROM passkey WHERE credential = ?"
            if connection.execute(known, (credential,)).fetchone():
                raise _taken(credential)
            connection.execute(
                "INSERT INTO passkey (credential, sealed) VALUES (?, ?)",
                (credential, self._sealed(connection, enrolled)),
            )

        await self._database.write(work)

    async def listed(self) -> tuple[Enrolled, ...]:
        """See `PasskeyStore`."""

        def work(connection: sqlite3.Connection) -> tuple[Enrolled, ...]:
            rows = "SELECT credential, sealed FROM passkey ORDER BY position"
            return tuple(self._opened(connection, *row) for row in connection.execute(rows))

        return await self._database.read(work)

    async def revoke(self, credential: str, at: int) -> Enrolled:
        """See `PasskeyStore`."""

        def work(connection: sqlite3.Connection) -> Enrolled:
            row = connection.execute(
                "SELECT credential, sealed FROM passkey WHERE credential = ?", (credential,)
            ).fetchone()
            if row is None:
                raise _unknown(credential)
            found = self._opened(connection, *row)
            revoked = replace(found, revoked_at=found.revoked_at or at)
            connection.execute(
                "UPDATE passkey SET sealed = ? WHERE credential = ?",
                (self._sealed(connection, revoked), credential),
            )
            return revoked

        return await self._database.write(work)

    def _sealed(self, connection: sqlite3.Connection, enrolled: Enrolled) -> bytes:
        document = {
            "approver": enrolled.approver,
            "passkey": str(enrolled.passkey),
            "enrolled_at": enrolled.enrolled_at,
            "revoked_at": enrolled.revoked_at,
        }
        key = self._keys.made(connection, _KEPT_UNDER)
        return key.seal(json.dumps(document).encode(), name=enrolled.passkey.credential)

    def _opened(
        self, connection: sqlite3.Connection, credential: str, sealed: bytes
    ) -> Enrolled:
        key = self._keys.made(connection, _KEPT_UNDER)
        document = json.loads(key.open(sealed, name=credential))
        return Enrolled(
            document["approver"],
            Passkey.parse(document["passkey"]),
            document["enrolled_at"],
            document["revoked_at"],
        )


class InMemoryPasskeyStore:
    """A `PasskeyStore` without a disk."""

    def __init__(self) -> None:
        self._kept: dict[str, Enrolled] = {}

    async def enrol(self, enrolled: Enrolled) -> None:
        """See `PasskeyStore`."""
        if enrolled.passkey.credential in self._kept:
            raise _taken(enrolled.passkey.credential)
        self._kept[enrolled.passkey.credential] = enrolled

    async def listed(self) -> tuple[Enrolled, ...]:
        """See `PasskeyStore`."""
        return tuple(self._kept.values())

    async def revoke(self, credential: str, at: int) -> Enrolled:
        """See `PasskeyStore`."""
        if (found := self._kept.get(credential)) is None:
            raise _unknown(credential)
        self._kept[credential] = replace(found, revoked_at=found.revoked_at or at)
        return self._kept[credential]


def in_force(enrolled: Iterable[Enrolled]) -> dict[str, tuple[Passkey, ...]]:
    """By approver, the passkeys that count."""
    found: dict[str, tuple[Passkey, ...]] = {}
    for each in enrolled:
        if each.revoked_at is None:
            found[each.approver] = (*found.get(each.approver, ()), each.passkey)
    return found


def _taken(credential: str) -> ApprovalError:
    return ApprovalError(f"the passkey {credential[:20]} was enrolled before")


def _unknown(credential: str) -> ApprovalError:
    return ApprovalError(f"there is no passkey {credential[:80]!r}; wardline approver list")
