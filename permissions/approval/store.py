"""Where access requests are kept: the port, and the durable one.

A store keeps values and makes one change at a time; what a change may be is decided by
`lifecycle`, handed in as a function.

What was shown, and what was answered, are sealed under the run's key. Not protected from: whoever
may read the state file and has the vault's key reads the arguments of every call that was ever
put to people; whoever may write it can drop a request or undo a use, but cannot make an approval
that no person signed for that very call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from permissions.approval import lifecycle
from permissions.approval.model import AccessRequest
from permissions.approval.votes import read_vote
from permissions.database import Schema
from permissions.errors import ApprovalError, StateError
from permissions.signing.canonical import MAX_INTEGER

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from permissions.database import StateDatabase
    from permissions.model import Digest
    from permissions.run_keys import RunKeys


class RequestStore(Protocol):
    """Keeps access requests; every method raises `StateError` when it cannot."""

    async def add(self, request: AccessRequest) -> AccessRequest:
        """Keeps a new request, unless an earlier one for its binding stands.

        Atomic among all processes: of many who ask for the same call at once, one opens the
        request and all get it. What stands is `lifecycle.stands` at the request's creation.

        Raises:
            ApprovalError: the id is taken.
        """
        ...

    async def get(self, request_id: str) -> AccessRequest:
        """The request as it is now.

        Raises:
            ApprovalError: there is none of that id, or it was altered.
        """
        ...

    async def of_call(self, run: str, binding: Digest) -> tuple[AccessRequest, ...]:
        """The requests for one call, in the order they were made.

        Raises:
            ApprovalError: one of them was altered.
        """
        ...

    async def listed(self, *, pending_only: bool = False) -> tuple[AccessRequest, ...]:
        """Requests in the order they were made; without those of runs that were erased.

        Raises:
            ApprovalError: one of them was altered.
        """
        ...

    async def pending(self) -> dict[str, int]:
        """Open requests in the order they were made, each with how many votes it has.

        Opens none of them, so that it is quick with any number. Some may have expired.
        """
        ...

    async def several(self, ids: Sequence[str]) -> tuple[AccessRequest, ...]:
        """Those of these requests that are there, in the order they were made.

        Raises:
            ApprovalError: one of them was altered.
        """
        ...

    async def decided(
        self, *, before: int | None, limit: int
    ) -> tuple[tuple[int, AccessRequest], ...]:
        """Requests that wait no longer, the last made first, each with its position.

        Args:
            before: a position; only those that were made before it.
            limit: how many at most.

        Raises:
            ApprovalError: one of them was altered.
        """
        ...

    async def update(
        self, request_id: str, step: Callable[[AccessRequest], AccessRequest]
    ) -> AccessRequest:
        """Replaces a request by `step` of it, alone among all processes, and durably.

        What `step` raises undoes the change and is raised here. `step` may run in another
        thread and must be pure.

        Raises:
            ApprovalError: there is none of that id, or it was altered.
        """
        ...

    async def changed(self, since: int | None) -> int:
        """Waits for a change after the token `since`; with None gives the token of now.

        May return without a change. Has no deadline: the caller sets one.
        """
        ...


SCHEMA = Schema(
    owner="approval",
    migrations=(
        (
            """
            CREATE TABLE access_request (
                position INTEGER PRIMARY KEY,
                id TEXT NOT NULL UNIQUE,
                run TEXT NOT NULL,
                binding TEXT NOT NULL,
                shown BLOB NOT NULL,
                status TEXT NOT NULL CHECK (
                    status IN ('pending', 'approved', 'denied', 'edited', 'expired', 'cancelled')
                ),
                consumed_at INTEGER
            ) STRICT
            """,
            "CREATE INDEX access_request_binding ON access_request (binding)",
            """
            CREATE UNIQUE INDEX access_request_one_pending ON access_request (binding)
            WHERE status = 'pending'
            """,
            """
            CREATE TABLE access_vote (
                request TEXT NOT NULL REFERENCES access_request (id),
                position INTEGER NOT NULL,
                approver TEXT NOT NULL,
                envelope BLOB NOT NULL,
                PRIMARY KEY (request, position),
                UNIQUE (request, approver)
            ) STRICT
            """,
            # A second guard below the pure functions: ends are final, a use is never undone.
            """
            CREATE TRIGGER access_request_final BEFORE UPDATE ON access_request
            WHEN (OLD.status <> 'pending' AND NEW.status <> OLD.status)
                OR (OLD.consumed_at IS NOT NULL AND NEW.consumed_at IS NOT OLD.consumed_at)
                OR NEW.shown <> OLD.shown
            BEGIN
                SELECT RAISE(ABORT, 'an access request leaves pending once');
            END
            """,
        ),
    ),
)

_NOT_ERASED = "run NOT IN (SELECT run FROM run_key WHERE wrapped IS NULL)"
_AT_ONCE = 500
"""Names in one query."""
_COLUMNS = "SELECT id, run, binding, shown, status, consumed_at FROM access_request"


class SqliteRequestStore:
    """Access requests in the shared state file."""

    def __init__(self, database: StateDatabase, keys: RunKeys) -> None:
        self._database = database
        self._keys = keys

    async def add(self, request: AccessRequest) -> AccessRequest:
        """See `RequestStore`."""

        def work(connection: sqlite3.Connection) -> AccessRequest:
            run = self._keys.made(connection, request.call.run)
            binding = run.tag("binding", request.call.binding)
            for earlier in self._load(connection, "binding = ?", binding):
                if lifecycle.stands(earlier, now=request.created_at):
                    return earlier
                expired = lifecycle.expire(earlier, now=request.created_at)
                self._save(connection, earlier, expired)
            taken = "SELECT 1 FROM access_request WHERE id = ?"
            if connection.execute(taken, (request.id,)).fetchone():
                raise ApprovalError(f"the access request id {request.id!r} is taken")
            shown = run.seal(request.shown.encode(), name=f"shown {request.id}")
            connection.execute(
                "INSERT INTO access_request (id, run, binding, shown, status)"
                " VALUES (?, ?, ?, ?, ?)",
                (request.id, request.call.run, binding, shown, request.status),
            )
            return request

        return await self._database.write(work)

    async def get(self, request_id: str) -> AccessRequest:
        """See `RequestStore`."""
        return await self._database.read(lambda connection: self._one(connection, request_id))

    async def of_call(self, run: str, binding: Digest) -> tuple[AccessRequest, ...]:
        """See `RequestStore`."""

        def work(connection: sqlite3.Connection) -> tuple[AccessRequest, ...]:
            key = self._keys.of(connection, run)
            if key is None:
                return ()
            return tuple(self._load(connection, "binding = ?", key.tag("binding", binding)))

        return await self._database.read(work)

    async def listed(self, *, pending_only: bool = False) -> tuple[AccessRequest, ...]:
        """See `RequestStore`."""
        where = f"(NOT ? OR status = 'pending') AND {_NOT_ERASED}"
        return await self._database.read(
            lambda connection: tuple(self._load(connection, where, pending_only))
        )

    async def pending(self) -> dict[str, int]:
        """See `RequestStore`."""
        query = (
            "SELECT id, (SELECT count(*) FROM access_vote WHERE request = id)"  # noqa: S608 - fixed texts
            f" FROM access_request WHERE status = 'pending' AND {_NOT_ERASED} ORDER BY position"
        )
        return await self._database.read(
            lambda connection: dict(connection.execute(query).fetchall())
        )

    async def several(self, ids: Sequence[str]) -> tuple[AccessRequest, ...]:
        """See `RequestStore`."""

        def work(connection: sqlite3.Connection) -> tuple[AccessRequest, ...]:
            found: list[AccessRequest] = []
            for at in range(0, len(ids), _AT_ONCE):
                part = ids[at : at + _AT_ONCE]
                names = ", ".join("?" * len(part))
                found += self._load(connection, f"id IN ({names}) AND {_NOT_ERASED}", *part)
            return tuple(found)

        return await self._database.read(work)

    async def decided(
        self, *, before: int | None, limit: int
    ) -> tuple[tuple[int, AccessRequest], ...]:
        """See `RequestStore`."""
        query = (
            "SELECT position, id FROM access_request WHERE status <> 'pending'"  # noqa: S608 - fixed texts
            f" AND position < ? AND {_NOT_ERASED} ORDER BY position DESC LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> tuple[tuple[int, AccessRequest], ...]:
            most = MAX_INTEGER if before is None else before
            rows = connection.execute(query, (most, limit)).fetchall()
            return tuple((position, self._one(connection, name)) for position, name in rows)

        return await self._database.read(work)

    async def update(
        self, request_id: str, step: Callable[[AccessRequest], AccessRequest]
    ) -> AccessRequest:
        """See `RequestStore`."""

        def work(connection: sqlite3.Connection) -> AccessRequest:
            before = self._one(connection, request_id)
            after = step(before)
            self._save(connection, before, after)
            return after

        return await self._database.write(work)

    async def changed(self, since: int | None) -> int:
        """See `RequestStore`."""
        return await self._database.changed(since)

    def _one(self, connection: sqlite3.Connection, request_id: str) -> AccessRequest:
        found = self._load(connection, "id = ?", request_id)
        if not found:
            raise ApprovalError(f"there is no access request {request_id[:80]!r}")
        return found[0]

    def _load(
        self, connection: sqlite3.Connection, where: str, *values: Any
    ) -> list[AccessRequest]:
        rows = connection.execute(
            f"{_COLUMNS} WHERE {where} ORDER BY position", values
        ).fetchall()
        return [self._read(connection, row) for row in rows]

    def _read(self, connection: sqlite3.Connection, row: tuple[Any, ...]) -> AccessRequest:
        request_id, run, binding, shown, status, consumed_at = row
        key = self._keys.of(connection, run)
        if key is None:
            raise ApprovalError(f"the key of access request {request_id[:80]!r} is gone")
        votes = connection.execute(
            "SELECT position, envelope FROM access_vote WHERE request = ? ORDER BY position",
            (request_id,),
        ).fetchall()
        try:
            request = AccessRequest.from_shown(
                key.open(shown, name=f"shown {request_id}").decode(),
                status=status,
                votes=tuple(
                    read_vote(key.open(sealed, name=_vote(request_id, position)).decode())
                    for position, sealed in votes
                ),
                consumed_at=consumed_at,
            )
        except (StateError, UnicodeDecodeError) as err:
            raise ApprovalError(
                f"access request {request_id[:80]!r} cannot be opened ({err});"
                " the state was altered"
            ) from err
        # Or a call would be answered with the approval of the request it was looked up by.
        filed = (request_id, run, binding)
        if (request.id, request.call.run, key.tag("binding", request.call.binding)) != filed:
            raise ApprovalError(
                f"access request {request_id[:80]!r} is filed under another id or call;"
                " the state was altered"
            )
        return request

    def _save(
        self, connection: sqlite3.Connection, before: AccessRequest, after: AccessRequest
    ) -> None:
        if after == before:
            return
        if after.shown != before.shown:
            raise ApprovalError("what was shown of an access request does not change")
        connection.execute(
            "UPDATE access_request SET status = ?, consumed_at = ? WHERE id = ?",
            (after.status, after.consumed_at, before.id),
        )
        run = self._keys.made(connection, before.call.run)
        for position in range(len(before.votes), len(after.votes)):
            vote = after.votes[position]
            sealed = run.seal(vote.envelope.encode(), name=_vote(before.id, position))
            connection.execute(
                "INSERT INTO access_vote (request, position, approver, envelope)"
                " VALUES (?, ?, ?, ?)",
                (before.id, position, vote.approver, sealed),
            )


def _vote(request_id: str, position: int) -> str:
    return f"vote {request_id} {position}"
