"""What the settings say of the daemon: where it listens, and who its clients are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.service.clients import Client

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.setup.config import BrokerConfig


def socket_of(config: BrokerConfig) -> Path:
    """Where the daemon listens, absolute."""
    return (config.service.socket or config.state / "broker.sock").absolute()


def clients_of(config: BrokerConfig) -> dict[int, Client]:
    """Who may connect, by user id.

    Raises:
        ConfigError: two names stand for one account.
    """
    found: dict[int, Client] = {}
    for name, client in config.service.clients.items():
        if client.uid in found:
            raise ConfigError(
                f"service.clients: {found[client.uid].name} and {name} are both user"
                f" {client.uid}; an account is one client"
            )
        found[client.uid] = Client(
            name, client.users, client.agents, client.roles, client.workspaces
        )
    return found
