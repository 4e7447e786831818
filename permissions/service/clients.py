"""Who may connect to the daemon, and what each may say of itself. Pure.

A client is a user account of this machine, as the kernel names it, the holder of a certificate,
or of a token. It may open sessions for the agents, on behalf of the people, and with the roles
that the settings list for it; anything else is refused. Without settings only the daemon's own
account may connect, which could read its keys anyway, and says what it likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


ANYTHING = ("*",)
SESSIONS = 256
CALLS = 512


@dataclass(frozen=True, slots=True)
class Client:
    """An account that may connect.

    Attributes:
        name: as the settings call it; it goes into the record.
        users, agents, roles: what its sessions may name, each a name or a pattern (`desk-*`).
        workspaces: folders in which its sessions may have theirs; None where that is its own
            matter.
        sessions: how many it may have open at once.
        calls: how many it may have in hand at once, in all its sessions.
    """

    name: str
    users: tuple[str, ...]
    agents: tuple[str, ...]
    roles: tuple[str, ...]
    workspaces: tuple[Path, ...] | None = None
    sessions: int = SESSIONS
    calls: int = CALLS

    def workspace(self, asked: str | None) -> Path | None:
        """The workspace a session asks for; None for the one of the settings.

        Raises:
            ServiceError: it lies outside of what this client may name.
        """
        if asked is None:
            return None
        folder = Path(asked).resolve()
        allowed = self.workspaces
        if allowed is not None and not any(
            folder.is_relative_to(each.resolve()) for each in allowed
        ):
            raise ServiceError(
                f"the client {self.name!r} may not work in {asked[:200]}; list the folder under"
                f" [service.clients.{self.name}] workspaces"
            )
        return folder

    def require(self, *, user: str | None, agent: str | None, roles: Sequence[str]) -> None:
        """Checks what a session says of its subject.

        Raises:
            ServiceError: one of these names is not this client's to say.
        """
        users, agents = [each for each in (user,) if each], [each for each in (agent,) if each]
        asked = (("user", users, self.users), ("agent", agents, self.agents))
        for kind, names, allowed in (*asked, ("role", roles, self.roles)):
            for name in names:
                if not _is_one(name, allowed):
                    raise ServiceError(
                        f"the client {self.name!r} may not open a session with the {kind}"
                        f" {name[:80]!r}; list it under [service.clients.{self.name}] {kind}s"
                    )


@dataclass(frozen=True, slots=True)
class Clients:
    """Everybody who may connect, by what each proves to be.

    Attributes:
        by_uid: by the user id of an account.
        by_certificate: by a name in a certificate (`spiffe://…`, a DNS name), or its digest
            (`sha256:…`, of its DER form).
        by_name: by the name in the settings, for whom tokens are created.
        revoked: names and digests of certificates that count no more, whoever signed them.
    """

    by_uid: Mapping[int, Client] = field(default_factory=dict)
    by_certificate: Mapping[str, Client] = field(default_factory=dict)
    by_name: Mapping[str, Client] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    def of_uid(self, uid: int, *, own: int) -> Client:
        """The client that a user account is.

        Args:
            uid: of the peer, from the kernel.
            own: the daemon's own account.

        Raises:
            ServiceError: nobody knows it.
        """
        if uid in self.by_uid:
            return self.by_uid[uid]
        if uid == own:
            return Client("own", ANYTHING, ANYTHING, ANYTHING)
        raise ServiceError(
            f"user {uid} is no client of this broker; add [service.clients.NAME] with uid = {uid}"
        )

    def of_certificate(self, names: Iterable[str]) -> Client:
        """The client that the holder of a certificate is, which was verified.

        Args:
            names: its names and its digest.

        Raises:
            ServiceError: nobody knows it, it names two of them, or it was revoked.
        """
        names = [*names]
        if not self.revoked.isdisjoint(names):
            raise ServiceError(f"the certificate ({', '.join(names)[:300]}) was revoked")
        found = {c.name: c for n in names if (c := self.by_certificate.get(n)) is not None}
        if len(found) == 1:
            return found.popitem()[1]
        who = " and ".join(found) or "no client of this broker"
        raise ServiceError(
            f"the certificate ({', '.join(names)[:300]}) is {who}; list one of its names under"
            " [service.clients.NAME] certificate"
        )

    def of_token(self, name: str | None) -> Client:
        """The client that a token was created for.

        Args:
            name: what the token store knows it by; None for a token it does not know.

        Raises:
            ServiceError: nobody knows it.
        """
        if name is None or (client := self.by_name.get(name)) is None:
            raise ServiceError(
                "the token is unknown, expired or revoked, or its client is gone from the"
                " settings; `wardline service token create` makes another"
            )
        return client


def _is_one(name: str, allowed: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in allowed)
