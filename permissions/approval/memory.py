"""Access requests kept in memory: for one process, gone with it. Twin of the SQLite store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from permissions.approval import lifecycle
from permissions.errors import ApprovalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from permissions.approval.model import AccessRequest
    from permissions.model import Digest


class InMemoryRequestStore:
    """A `RequestStore` without a disk; no step is interrupted, so each is atomic."""

    def __init__(self) -> None:
        self._requests: dict[str, AccessRequest] = {}
        self._token = 0
        self._change = anyio.Event()

    async def add(self, request: AccessRequest) -> AccessRequest:
        """See `RequestStore`."""
        now = request.created_at
        for earlier in await self.of_call(request.call.run, request.call.binding):
            if lifecycle.stands(earlier, now=now):
                return earlier
            self._keep(lifecycle.expire(earlier, now=now))
        if request.id in self._requests:
            raise ApprovalError(f"the access request id {request.id!r} is taken")
        self._keep(request)
        return request

    async def get(self, request_id: str) -> AccessRequest:
        """See `RequestStore`."""
        try:
            return self._requests[request_id]
        except KeyError:
            raise ApprovalError(f"there is no access request {request_id[:80]!r}") from None

    async def of_call(self, run: str, binding: Digest) -> tuple[AccessRequest, ...]:
        """See `RequestStore`."""
        asked = (run, binding)
        return tuple(
            request
            for request in self._requests.values()
            if (request.call.run, request.call.binding) == asked
        )

    async def listed(self, *, pending_only: bool = False) -> tuple[AccessRequest, ...]:
        """See `RequestStore`."""
        return tuple(
            request
            for request in self._requests.values()
            if request.status == "pending" or not pending_only
        )

    async def pending(self) -> dict[str, int]:
        """See `RequestStore`."""
        return {each.id: len(each.votes) for each in await self.listed(pending_only=True)}

    async def several(self, ids: Sequence[str]) -> tuple[AccessRequest, ...]:
        """See `RequestStore`."""
        wanted = set(ids)
        return tuple(each for name, each in self._requests.items() if name in wanted)

    async def decided(
        self, *, before: int | None, limit: int
    ) -> tuple[tuple[int, AccessRequest], ...]:
        """See `RequestStore`."""
        found = [
            (position, each)
            for position, each in enumerate(self._requests.values(), start=1)
            if each.status != "pending" and (before is None or position < before)
        ]
        return tuple(found[::-1][:limit])

    async def update(
        self, request_id: str, step: Callable[[AccessRequest], AccessRequest]
    ) -> AccessRequest:
        """See `RequestStore`."""
        after = step(await self.get(request_id))
        self._keep(after)
        return after

    async def changed(self, since: int | None) -> int:
        """See `RequestStore`."""
        while self._token == since:
            await self._change.wait()
        return self._token

    def _keep(self, request: AccessRequest) -> None:
        self._requests[request.id] = request
        self._token += 1
        self._change.set()
        self._change = anyio.Event()
