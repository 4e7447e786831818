"""Links and sessions in memory: for one process, gone with it. Twin of the SQLite store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permissions.console.sign_ins import Link, Session


class InMemorySignInStore:
    """A `SignInStore` without a disk; no step is interrupted, so each is atomic."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        self._sessions: dict[str, Session] = {}

    async def add_link(self, link: Link) -> None:
        """See `SignInStore`."""
        self._links[link.digest] = link

    async def take_link(self, digest: str) -> Link | None:
        """See `SignInStore`."""
        return self._links.pop(digest, None)

    async def put_session(self, session: Session) -> None:
        """See `SignInStore`."""
        self._sessions[session.digest] = session

    async def session(self, digest: str) -> Session | None:
        """See `SignInStore`."""
        return self._sessions.get(digest)

    async def end(self, digest: str) -> None:
        """See `SignInStore`."""
        self._sessions.pop(digest, None)

    async def end_all(self, name: str) -> int:
        """See `SignInStore`."""
        theirs = [
            (kept, digest)
            for kept in (self._links, self._sessions)
            for digest, each in kept.items()
            if each.name == name
        ]
        for kept, digest in theirs:
            kept.pop(digest)
        return len(theirs)
