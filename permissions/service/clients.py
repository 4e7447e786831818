"""Who may connect to the daemon, and what each may say of itself. Pure.

A client is a user account of this machine, as the kernel names it. It may open sessions for the
agents, on behalf of the people, and with the roles that the settings list for it; anything else
is refused. Without settings only the daemon's own account may connect, which could read its keys
anyway, and says what it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


ANYTHING = ("*",)


@dataclass(frozen=True, slots=True)
class Client:
    """An account that may connect.

    Attributes:
        name: as the settings call it; it goes into the record.
        users, agents, roles: what its sessions may name, each a name or a pattern (`desk-*`).
        workspaces: folders in which its sessions may have theirs; None where that is its own
            matter.
    """

    name: str
    users: tuple[str, ...]
    agents: tuple[str, ...]
    roles: tuple[str, ...]
    workspaces: tuple[Path, ...] | None = None

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


def client_of(uid: int, clients: Mapping[int, Client], *, own: int) -> Client:
    """The client that a user account is.

    Args:
        uid: of the peer, from the kernel.
        clients: those of the settings, by user id.
        own: the daemon's own account.

    Raises:
        ServiceError: nobody knows it.
    """
    if uid in clients:
        return clients[uid]
    if uid == own:
        return Client("own", ANYTHING, ANYTHING, ANYTHING)
    raise ServiceError(
        f"user {uid} is no client of this broker; add [service.clients.NAME] with uid = {uid}"
    )


def _is_one(name: str, allowed: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in allowed)
