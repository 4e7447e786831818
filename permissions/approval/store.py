"""Where access requests are kept: the port, and the durable one.

A store keeps values and makes one change at a time; what a change may be is decided by
`lifecycle`, handed in as a function.

Not protected from: whoever may read the state file reads the arguments of every call that was
ever put to people; whoever may write it can drop a request or undo a use, but cannot make an
approval that no person signed for that very call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from permissions.approval import lifecycle
from permissions.approval.model import AccessRequest
from permissions.approval.votes import read_vote
from permissions.database import Schema
from permissions.errors import ApprovalError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from permissions.database import StateDatabase
    from permissions.model import Digest


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

    async def listed(
        self, *, binding: Digest | None = None, pending_only: bool = False
    ) -> tuple[AccessRequest, ...]:
        """Requests in the order they were made.

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
                binding TEXT NOT NULL,
                shown TEXT NOT NULL,
                status TEXT NOT NULL CHECK (
                    status IN ('pending', 'approved', 'denied', 'expired', 'cancelled')
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
                envelope TEXT NOT NULL,
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

_COLUMNS = "SELECT id, binding, shown, status, consumed_at FROM access_request"


class SqliteRequestStore:
    """Access requests in the shared state file."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def add(self, request: AccessRequest) -> AccessRequest:
        """See `RequestStore`."""

        def work(connection: sqlite3.Connection) -> AccessRequest:
            for earlier in _load(connection, "binding = ?", request.call.binding):
                if lifecycle.stands(earlier, now=request.created_at):
                    return earlier
                _save(connection, earlier, lifecycle.expire(earlier, now=request.created_at))
            if _load(connection, "id = ?", request.id):
                raise ApprovalError(f"the access request id {request.id!r} is taken")
            connection.execute(
                "INSERT INTO access_request (id, binding, shown, status) VALUES (?, ?, ?, ?)",
                (request.id, request.call.binding, request.shown, request.status),
            )
            return request

        return await self._database.write(work)

    async def get(self, request_id: str) -> AccessRequest:
        """See `RequestStore`."""
        return await self._database.read(lambda connection: _one(connection, request_id))

    async def listed(
        self, *, binding: Digest | None = None, pending_only: bool = False
    ) -> tuple[AccessRequest, ...]:
        """See `RequestStore`."""
        where = "(?1 IS NULL OR binding = ?1) AND (NOT ?2 OR status = 'pending')"
        return await self._database.read(
            lambda connection: tuple(_load(connection, where, binding, pending_only))
        )

    async def update(
        self, request_id: str, step: Callable[[AccessRequest], AccessRequest]
    ) -> AccessRequest:
        """See `RequestStore`."""

        def work(connection: sqlite3.Connection) -> AccessRequest:
            before = _one(connection, request_id)
            after = step(before)
            _save(connection, before, after)
            return after

        return await self._database.write(work)

    async def changed(self, since: int | None) -> int:
        """See `RequestStore`."""
        return await self._database.changed(since)


def _one(connection: sqlite3.Connection, request_id: str) -> AccessRequest:
    found = _load(connection, "id = ?", request_id)
    if not found:
        raise ApprovalError(f"there is no access request {request_id[:80]!r}")
    return found[0]


def _load(connection: sqlite3.Connection, where: str, *values: Any) -> list[AccessRequest]:
    rows = connection.execute(f"{_COLUMNS} WHERE {where} ORDER BY position", values).fetchall()
    requests = []
    for request_id, binding, shown, status, consumed_at in rows:
        votes = connection.execute(
            "SELECT envelope FROM access_vote WHERE request = ? ORDER BY position",
            (request_id,),
        ).fetchall()
        request = AccessRequest.from_shown(
            shown,
            status=status,
            votes=tuple(read_vote(envelope) for (envelope,) in votes),
            consumed_at=consumed_at,
        )
        # Or a call would be answered with the approval of the request it was looked up by.
        if (request.id, request.call.binding) != (request_id, binding):
            raise ApprovalError(
                f"access request {request_id[:80]!r} is filed under another id or call;"
                " the state was altered"
            )
        requests.append(request)
    return requests


def _save(connection: sqlite3.Connection, before: AccessRequest, after: AccessRequest) -> None:
    if after == before:
        return
    connection.execute(
        "UPDATE access_request SET shown = ?, status = ?, consumed_at = ? WHERE id = ?",
        (after.shown, after.status, after.consumed_at, before.id),
    )
    for position in range(len(before.votes), len(after.votes)):
        vote = after.votes[position]
        connection.execute(
            "INSERT INTO access_vote (request, position, approver, envelope) VALUES (?, ?, ?, ?)",
            (before.id, position, vote.approver, vote.envelope),
        )
