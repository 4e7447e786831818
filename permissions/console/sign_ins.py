"""Who is signed in to the console: one-time links, sessions, and where they are kept.

A secret is 256 random bits and is kept as its digest only: who reads the state file signs in with
nothing from it. A link is used once and expires; a session expires, sooner when nobody uses it,
and belongs to the browser it began in.

Not protected from: whoever may write the state file, who can add a session of their own. They
still cannot vote: that takes a passkey.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from permissions.console.roles import ROLES, Role
from permissions.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000
LINK_SECONDS = 15 * 60
IDLE_SECONDS = 60 * 60
TOTAL_SECONDS = 12 * 60 * 60
_SEEN_SECONDS = 60
"""How exactly it is known when a session was last used."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link that signs one person in once; times are microseconds since 1970 UTC."""

    digest: str
    name: str
    role: Role
    expires_at: int
    enrols: bool = False
    """Whether the person may add a passkey in the session that it begins."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser in which somebody is signed in."""

    digest: str
    name: str
    role: Role
    browser: str
    """Digest of what the browser says of itself."""
    began_at: int
    seen_at: int
    enrols: bool = False
    by: str = "link"
    """How they signed in: by `link` or by `passkey`."""

    def is_over(self, now: int) -> bool:
        """Whether its time has passed."""
        unused, total = now - self.seen_at, now - self.began_at
        return unused >= IDLE_SECONDS * SECOND or total >= TOTAL_SECONDS * SECOND


class SignInStore(Protocol):
    """Keeps links and sessions, by the digests of their secrets."""

    async def add_link(self, link: Link) -> None:
        """Keeps a new link, and forgets those that expired."""
        ...

    async def take_link(self, digest: str) -> Link | None:
        """The link, which is gone with this: of many who ask, one gets it."""
        ...

    async def put_session(self, session: Session) -> None:
        """Keeps a session, new or changed."""
        ...

    async def session(self, digest: str) -> Session | None:
        """The session, if there is one."""
        ...

    async def end(self, digest: str) -> None:
        """Forgets a session."""
        ...

    async def end_all(self, name: str) -> int:
        """Forgets all sessions and links of a person; gives how many."""
        ...


class SignIns:
    """Makes links, signs in by them, and knows sessions again.

    Args:
        store: where they are kept.
        clock: microseconds since 1970 UTC.
    """

    def __init__(self, store: SignInStore, *, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def link(self, name: str, role: Role, *, enrols: bool = False) -> str:
        """A new link's secret, which is told once and kept nowhere.

        Raises:
            StateError: it cannot be kept.
        """
        if role not in ROLES:
            raise SignInError(f"{role!r} is no role; say {', '.join(ROLES)}")
        secret = secrets.token_urlsafe(32)
        until = self._clock() + LINK_SECONDS * SECOND
        await self._store.add_link(Link(_digest(secret), name, role, until, enrols))
        return secret

    async def enter(self, secret: str, browser: str) -> tuple[str, Session]:
        """Uses a link; gives the secret of the session that begins with it.

        Raises:
            SignInError: there is no such link, it was used, or it expired.
        """
        link = await self._store.take_link(_digest(secret))
        if link is None or link.expires_at <= self._clock():
            raise SignInError(
                "this link was used or has expired; ask for a new one: wardline console link"
            )
        return await self.begin(link.name, link.role, browser, by="link", enrols=link.enrols)

    async def begin(
        self, name: str, role: Role, browser: str, *, by: str, enrols: bool = False
    ) -> tuple[str, Session]:
        """Begins a session for somebody who has proved who they are."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        session = Session(
            _digest(secret), name, role, _digest(browser), now, now, enrols=enrols, by=by
        )
        await self._store.put_session(session)
        return secret, session

    async def known(self, secret: str, browser: str) -> Session | None:
        """The session of this secret in this browser, unless it is over.

        A secret that comes from another browser was stolen: its session ends.
        """
        session = await self._store.session(_digest(secret))
        if session is None:
            return None
        now = self._clock()
        if session.is_over(now) or not hmac.compare_digest(session.browser, _digest(browser)):
            await self._store.end(session.digest)
            return None
        if now - session.seen_at >= _SEEN_SECONDS * SECOND:
            session = replace(session, seen_at=now)
            await self._store.put_session(session)
        return session

    async def holds(self, session: Session) -> bool:
        """Whether a session still is one; it does not count as used by this."""
        kept = await self._store.session(session.digest)
        return kept is not None and not kept.is_over(self._clock())

    async def spent(self, session: Session) -> None:
        """Takes from a session the right to add a passkey, which it had once."""
        await self._store.put_session(replace(session, enrols=False))

    async def end(self, session: Session) -> None:
        """Signs out."""
        await self._store.end(session.digest)

    async def end_all(self, name: str) -> int:
        """Ends every session and link of a person; gives how many."""
        return await self._store.end_all(name)


def form_token(secret: str) -> str:
    """What each form of a session carries, which no other site can know."""
    return hmac.new(secret.encode(), b"wardline.console.form/v1", hashlib.sha256).hexdigest()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
