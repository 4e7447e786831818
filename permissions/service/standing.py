"""Whether a client may still say what its session says: looked up again while it is open.

At each question, if the settings were read again or a token was revoked since the last one, and
else when that is `LOOK_SECONDS` ago: so a command that revokes holds from the moment it returns,
and the little that a lost word, or a token that runs out, can gain is as long as that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from permissions.service.clients import Client

LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Standing:
    """A client, and what its session says of itself.

    Attributes:
        find: who is at the other end by now.
        changes: how often it was said that somebody may be a client no more.
        user, agent, roles, workspace: of the session.
    """

    find: Callable[[], Awaitable[Client]]
    changes: Callable[[], int]
    user: str | None
    agent: str | None
    roles: Sequence[str]
    workspace: str | None
    _seen: int = -1
    _at: float = field(default=0.0)

    async def check(self) -> None:
        """Passes while the session may go on.

        Raises:
            ServiceError: who opened it is no client any more, or may not say that.
            StateError: nobody can tell.
        """
        changes, now = self.changes(), time.monotonic()
        if changes == self._seen and now - self._at < LOOK_SECONDS:
            return
        client = await self.find()
        client.require(user=self.user, agent=self.agent, roles=self.roles)
        client.workspace(self.workspace)
        self._seen, self._at = changes, now
