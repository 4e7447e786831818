"""Who may connect to the daemon, as the settings list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.service.clients import Client, Clients

if TYPE_CHECKING:
    from permissions.setup.config import BrokerConfig


def clients_of(config: BrokerConfig) -> Clients:
    """Who may connect.

    Raises:
        ConfigError: two names stand for one account, or one certificate.
    """
    by_uid: dict[int, Client] = {}
    by_certificate: dict[str, Client] = {}
    by_name: dict[str, Client] = {}
    for name, said in config.service.clients.items():
        client = Client(
            name,
            said.users,
            said.agents,
            said.roles,
            said.workspaces,
            said.sessions,
            said.calls,
        )
        by_name[name] = client
        if said.uid is not None:
            other = by_uid.setdefault(said.uid, client)
            _require_one(other, client, f"user {said.uid}; an account")
        if said.certificate:
            other = by_certificate.setdefault(said.certificate, client)
            _require_one(other, client, f"{said.certificate!r}; a certificate")
    revoked = frozenset(config.service.revoked_certificates)
    return Clients(by_uid, by_certificate, by_name, revoked)


def _require_one(one: Client, other: Client, what: str) -> None:
    if one is not other:
        raise ConfigError(
            f"service.clients: {one.name} and {other.name} are both {what} is one client"
        )
