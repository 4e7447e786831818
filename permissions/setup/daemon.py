"""What the settings say of the daemon: where it listens, and who its clients are."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.service.clients import Client
from permissions.service.endpoint import TlsFiles, endpoint_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.service.server import Server
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


def tls_of(config: BrokerConfig) -> TlsFiles | None:
    """The certificate with which it is reached over the network, if there is one.

    Raises:
        ConfigError: one of the two files is named without the other.
    """
    certificate, key = config.service.tls_certificate, config.service.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError(
            "service.tls_certificate and service.tls_key belong together; set both"
        )
    return TlsFiles(certificate, key)


@asynccontextmanager
async def http_interface(
    config: BrokerConfig, broker: PermissionBroker, server: Server
) -> AsyncIterator[str | None]:
    """Serves HTTP while the context is open, where the settings say so; gives its URL.

    Raises:
        ConfigError: the address or the certificate cannot be used, or the extra is not there.
    """
    if not config.service.http:
        yield None
        return
    endpoint, tls = endpoint_of(config.service.http), tls_of(config)
    try:
        from permissions.service.http.app import HttpParts, create_app
        from permissions.service.http.host import hosting
    except ImportError as err:
        raise ConfigError(
            f"service.http: {err.name} is not installed; pip install 'wardline[service]'"
        ) from err
    app = create_app(
        HttpParts(
            broker=broker,
            hindrance=server.hindrance,
            stopping=server.stopping,
            hosts=(
                *config.service.hosts,
                endpoint.host.join("[]") if ":" in endpoint.host else endpoint.host,
            ),
            mounts=(),
        )
    )
    async with hosting(app, endpoint, tls=tls) as (host, port):
        yield f"{'http' if tls is None else 'https'}://{endpoint._replace(host=host, port=port)}"
