"""What the settings say of the daemon: where it listens, and who its clients are."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from permissions.broker.ports import now_us
from permissions.database import StateDatabase
from permissions.errors import ConfigError
from permissions.service.address import SOCKET
from permissions.service.authzen.access_requests import AccessRequests
from permissions.service.authzen.mapping import TOOL, ResourceType
from permissions.service.authzen.service import AccessService
from permissions.service.endpoint import TlsFiles, endpoint_of
from permissions.service.meter import UNMETERED
from permissions.service.metered_trace import MeteredTrace
from permissions.service.network import listening_on, server_context
from permissions.service.server import listening
from permissions.service.tasks import beside
from permissions.service.tokens import SCHEMA, TokenStore
from permissions.setup.clients import clients_of
from permissions.setup.console import console_hosts, console_routes
from permissions.setup.control import findable
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.setup.listing import Listing
from permissions.setup.reread import reread
from permissions.trace.log import SignedLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.execution.base import ToolExecutor
    from permissions.run.state import RunState
    from permissions.service.meter import Meter
    from permissions.service.server import Asked, Server
    from permissions.setup.config import BrokerConfig
    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import Isolation

    Desk = Callable[[PermissionBroker], AbstractAsyncContextManager[Mapping[str, Asked]]]
    """Opens what answers questions of their own kind, by name."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What runs while a daemon does.

    Attributes:
        network: its address over TCP, if it has one.
        url: of its HTTP interface, if it has one.
    """

    broker: PermissionBroker
    server: Server
    tokens: TokenStore
    network: str | None
    url: str | None


@asynccontextmanager
async def running(
    config: BrokerConfig,
    tools: Iterable[object],
    *,
    hosted: Mapping[str, tuple[Isolation, ToolExecutor]] = MappingProxyType({}),
    withheld: Callable[[], frozenset[str]] = frozenset,
    desk: Desk | None = None,
) -> AsyncIterator[Daemon]:
    """Opens the broker of the settings, and serves it wherever they say.

    Args:
        config: the settings.
        tools: decorated functions.
        hosted: what runs tools that have a sandbox of their own, by name, with its boundary.
        withheld: names of tools that clients are not to list at the time.
        desk: what else clients of this machine may ask on the unix socket.

    Raises:
        ConfigError: a setting cannot be used, or an address cannot be had.
        BrokerError: as `permissions.setup.factory.open_broker`.
    """
    async with open_broker(config, tools, mode="daemon", hosted=hosted) as broker:
        log = broker.parts.trace
        origin = log.origin if isinstance(log, SignedLog) else ""
        meter = metered(config, broker)
        listing = Listing(broker, config)

        async def possible(
            session: RunState, asked: Iterable[ToolDefinition]
        ) -> frozenset[str]:
            return await listing.possible(session, asked) - withheld()

        async with (
            beside() as tasks,
            tokens_of(config) as tokens,
            _found_by_its_state(config),
            nullcontext({}) if desk is None else desk(broker) as questions,
            listening(
                broker,
                socket_of(config),
                clients_of(config),
                meter,
                partial(reread, config),
                questions=questions,
                possible=possible,
            ) as server,
            tcp_interface(config, server, tokens) as network,
            http_interface(config, broker, server, tokens, meter) as url,
            _spanned(config, broker, origin),
        ):
            tasks.start_soon(listing.run)
            yield Daemon(broker, server, tokens, network, url)
            await server.drained()  # while all that it listens on still says so


def socket_of(config: BrokerConfig) -> Path:
    """Where the daemon listens, absolute."""
    return (config.service.socket or config.state / SOCKET).absolute()


@asynccontextmanager
async def _spanned(
    config: BrokerConfig, broker: PermissionBroker, origin: str
) -> AsyncIterator[None]:
    if not config.service.otlp:
        yield
        return
    from permissions.export.otlp import SpannedTrace, sending

    async with sending(config.service.otlp, origin=origin, build=version("wardline")) as sender:
        before = broker.parts.trace
        broker.parts = replace(broker.parts, trace=SpannedTrace(before, sender))
        try:
            yield
        finally:
            broker.parts = replace(broker.parts, trace=before)


@asynccontextmanager
async def _found_by_its_state(config: BrokerConfig) -> AsyncIterator[None]:
    with findable(config.state, socket_of(config)):
        yield


@asynccontextmanager
async def tokens_of(config: BrokerConfig) -> AsyncIterator[TokenStore]:
    """The tokens of clients, in the state folder.

    Raises:
        StateError: the durable state cannot be opened safely.
    """
    layout = StateLayout(config.state)
    async with StateDatabase(layout.database, [SCHEMA]) as database:
        yield TokenStore(database)


@asynccontextmanager
async def tcp_interface(
    config: BrokerConfig, server: Server, tokens: TokenStore
) -> AsyncIterator[str | None]:
    """Takes connections over TCP while the context is open, where the settings say so.

    Gives the address.

    Raises:
        ConfigError: the address or a certificate cannot be used.
    """
    if not config.service.tcp:
        yield None
        return
    endpoint, tls = endpoint_of(config.service.tcp), tls_of(config)
    endpoint.require_private(tls)
    if tls is None and config.service.client_ca is not None:
        raise ConfigError("service.client_ca needs service.tls_certificate and service.tls_key")
    context = None if tls is None else server_context(tls, config.service.client_ca)
    token_of = partial(_client_of, tokens)
    async with listening_on(server, endpoint, tls=context, token_of=token_of) as address:
        yield address


def metered(config: BrokerConfig, broker: PermissionBroker) -> Meter:
    """Has what the broker records counted, where there is an interface to read it on.

    Raises:
        ConfigError: the extra is not there.
    """
    log = broker.parts.trace
    if not config.service.http or not isinstance(log, SignedLog):
        return UNMETERED
    try:
        from permissions.service.metrics import Metrics
    except ImportError as err:
        raise _without_extra(err) from err
    metrics = Metrics([tool.name for tool in broker.parts.registry])
    trace = MeteredTrace(log, lambda: log.durable, metrics)
    broker.parts = replace(broker.parts, trace=trace)
    return metrics


def _without_extra(err: ImportError) -> ConfigError:
    return ConfigError(
        f"service.http: {err.name} is not installed; pip install 'wardline[service]'"
    )


async def _client_of(tokens: TokenStore, text: str) -> str | None:
    return await tokens.client_of(text, now=now_us())


def _resource_types(config: BrokerConfig, broker: PermissionBroker) -> dict[str, ResourceType]:
    found = {}
    for name, said in config.service.resources.items():
        for action, tool in said.actions.items():
            known = broker.known(tool)
            if known is None or said.id not in known.schema.get("properties", {}):
                raise ConfigError(
                    f"service.resources.{name}: {action} stands for the tool {tool!r}, which the"
                    f" daemon does not know, or which has no argument {said.id!r}"
                )
        found[name] = ResourceType(said.id, said.actions, said.known)
    if TOOL in found:
        raise ConfigError(f"service.resources.{TOOL}: resources of that type are the tools")
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
    config: BrokerConfig,
    broker: PermissionBroker,
    server: Server,
    tokens: TokenStore,
    meter: Meter,
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
        from permissions.service.http.access import access_routes
        from permissions.service.http.app import HttpParts, create_app
        from permissions.service.http.host import hosting
        from permissions.service.http.identity import BearerTokens
        from permissions.service.http.metrics_page import metrics_route
        from permissions.service.metrics import Metrics
    except ImportError as err:
        raise _without_extra(err) from err
    bearers = BearerTokens(lambda: server.clients, partial(_client_of, tokens))
    types = _resource_types(config, broker)
    requests = AccessRequests(broker, types, config.service.url)
    routes = access_routes(AccessService(broker, requests, types), bearers)
    trace = broker.parts.trace
    if isinstance(meter, Metrics) and isinstance(trace, MeteredTrace):
        routes.append(
            metrics_route(
                meter, trace, broker, server, bearers, evidence=config.service.evidence
            )
        )
    ending = anyio.Event()
    async with console_routes(config, broker, ending) as console:
        app = create_app(
            HttpParts(
                broker=broker,
                hindrance=server.hindrance,
                stopping=server.stopping,
                hosts=(
                    *config.service.hosts,
                    *console_hosts(config),
                    endpoint.host.join("[]") if ":" in endpoint.host else endpoint.host,
                ),
                mounts=[*routes, *console],
            )
        )
        async with hosting(app, endpoint, tls=tls) as (host, port):
            scheme = "http" if tls is None else "https"
            try:
                yield f"{scheme}://{endpoint._replace(host=host, port=port)}"
            finally:
                ending.set()  # or its event streams would be waited for
