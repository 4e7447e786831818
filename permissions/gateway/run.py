"""The gateway from the settings to its end: for one client on stdin and stdout, or over HTTP."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

import anyio
from mcp.server.stdio import stdio_server

from permissions.errors import ConfigError, GatewayError
from permissions.gateway.clients import OneClient, Principals
from permissions.gateway.hosted import HostedTools, hosted_server, upstream_of
from permissions.gateway.http import served
from permissions.gateway.pinned import Definitions, Pins
from permissions.gateway.remote import remote_messages
from permissions.gateway.server import gateway_server
from permissions.gateway.server_process import server_process
from permissions.gateway.told import Told, watch_policies, watch_upstream
from permissions.gateway.tools import SEPARATOR, Boundary, gateway_tools
from permissions.gateway.upstream import Upstream
from permissions.integrations._asked import current_session
from permissions.service.tasks import beside
from permissions.sessions.open import open_session
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.setup.listing import Listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from anyio.abc import TaskGroup
    from mcp.server.lowlevel import Server

    from permissions.execution.base import ToolExecutor
    from permissions.gateway.hosted import HostedServer
    from permissions.gateway.tools import GatewayTool
    from permissions.gateway.upstream import Transport
    from permissions.service.remote import RemoteBroker
    from permissions.setup.config import BrokerConfig, UpstreamConfig
    from permissions.tools.decorator import GuardedTool
    from permissions.vocabulary import Isolation


Executors: TypeAlias = "dict[str, tuple[Isolation, ToolExecutor]]"
"""What runs tools that have a sandbox of their own, by name, and behind which boundary."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of the settings, connected to as calls need them.

    Attributes:
        upstreams: by name.
        hosted: those that run in sandboxes of ours, here.
        tasks: where what they need lives.
    """

    upstreams: Mapping[str, Upstream]
    hosted: Mapping[str, HostedServer]
    tasks: TaskGroup

    def executors(self, tools: Iterable[GatewayTool]) -> Executors:
        """What runs the tools of hosted servers."""
        found: Executors = {}
        own = [each for each in tools if each.upstream in self.hosted]
        for name, server in self.hosted.items():
            ours = {
                each.name: (each.offered.name, each.row.definition)
                for each in own
                if each.upstream == name
            }
            executor = HostedTools(server, self.upstreams[name], ours, self.tasks)
            found |= dict.fromkeys(ours, (server.sandbox.isolation, executor))
        return found


@asynccontextmanager
async def servers_of(
    config: BrokerConfig, *, elsewhere: bool = False
) -> AsyncIterator[Servers]:
    """The servers of the settings, which may be connected to until the block ends.

    Args:
        config: the settings.
        elsewhere: those in a sandbox are run by a daemon, and never here.

    Raises:
        ConfigError: there are none, or one cannot be used as it is said.
    """
    if not config.gateway.upstream:
        raise ConfigError(
            'no MCP server: say [gateway.upstream.NAME] command = ["PROGRAM", ...], or url'
        )
    async with AsyncExitStack() as stack:
        upstreams, hosted = {}, {}
        for name, each in config.gateway.upstream.items():
            _check(name, each)
            if each.sandbox == "none":
                upstreams[name] = Upstream(name, _transport(config, each))
            elif elsewhere:
                upstreams[name] = Upstream(name, partial(_not_here, name))
            else:
                server = hosted[name] = await hosted_server(config, name, each, stack)
                program = server.program(config.workspace.resolve())
                stack.push_async_callback(program.aclose)
                upstreams[name] = upstream_of(name, program)
        tasks = await stack.enter_async_context(beside())
        for upstream in upstreams.values():
            tasks.start_soon(upstream.run)
        yield Servers(upstreams, hosted, tasks)


def _not_here(name: str) -> NoReturn:
    raise GatewayError(f"{name}: runs in the daemon, which this gateway asks")


def _check(name: str, server: UpstreamConfig) -> None:
    where = f"gateway.upstream.{name}"
    if not name.isidentifier() or SEPARATOR in name or name.endswith("_"):
        raise ConfigError(f"{where}: a name has letters, digits and single underscores")
    if bool(server.command) == bool(server.url):
        raise ConfigError(f"{where}: say either command or url")
    if server.url and not server.url.startswith(
        ("https://", "http://127.", "http://localhost")
    ):
        raise ConfigError(f"{where}: {server.url[:80]} is neither https nor on this machine")
    in_sandbox = server.profile is not None or server.workspace != "none"
    if server.sandbox == "none" and in_sandbox:
        raise ConfigError(f"{where}: profile and workspace are for a command with a sandbox")
    if server.secret is not None and not server.url:
        raise ConfigError(f"{where}: secret is for a server that is reached by url")
    if server.url and server.sandbox != "none":
        raise ConfigError(f"{where}: a server that is reached by url runs where it is")


def _transport(config: BrokerConfig, server: UpstreamConfig) -> Transport:
    if server.url:
        return partial(remote_messages, config, server)
    return partial(
        server_process, server.command, environment=server.environment, folder=server.folder
    )


def approved_of(config: BrokerConfig) -> tuple[Pins, Definitions]:
    """What people approved.

    Raises:
        ConfigError: the file cannot be read.
    """
    layout = StateLayout(config.state)
    return Pins.load(config.gateway.pins), Definitions(layout.root / "gateway")


@dataclass(frozen=True, slots=True)
class DaemonTools:
    """What a daemon has for the gateways that use it.

    Attributes:
        tools: the approved ones, as guarded functions.
        hosted: what runs those of servers in a sandbox; the gateways run the others.
        withheld: names of those whose server is known to offer them no more as they were approved.
    """

    tools: list[GuardedTool[..., Any]]
    hosted: Executors
    withheld: Callable[[], frozenset[str]]


@asynccontextmanager
async def daemon_tools(config: BrokerConfig) -> AsyncIterator[DaemonTools]:
    """What a daemon has for the gateways that use it, while the block lasts.

    Raises:
        ConfigError: what people approved cannot be read, or a server cannot be used as it is said.
        ToolDefinitionError: an approved tool cannot be governed as its row says.
    """
    pins, definitions = approved_of(config)
    async with servers_of(config) as servers:
        tools = list(gateway_tools(pins, definitions, servers.upstreams, _boundaries(config)))
        yield DaemonTools(
            [each.guarded for each in tools],
            servers.executors(tools),
            lambda: frozenset(each.name for each in tools if each.is_quarantined),
        )


@asynccontextmanager
async def open_gateway(
    config: BrokerConfig, *, user: str | None, version: str
) -> AsyncIterator[Server[object]]:
    """A server with its broker, for one client or for all that have a token.

    Args:
        config: the settings.
        user: whose calls they are; None when each request's token says that.
        version: of this program.

    Raises:
        ConfigError: a setting cannot be used, or nothing was approved yet.
        ToolDefinitionError: an approved tool cannot be governed as its row says.
        BrokerError: the broker does not open.
    """
    pins, definitions = approved_of(config)
    async with servers_of(config, elsewhere=bool(config.broker)) as servers:
        tools = list(gateway_tools(pins, definitions, servers.upstreams, _boundaries(config)))
        if not tools:
            raise ConfigError(
                f"{config.gateway.pins}: no tool of these servers is approved;"
                " `wardline gateway pin`"
            )
        guarded = [each.guarded for each in tools]
        async with AsyncExitStack() as stack:
            hosted = servers.executors(tools)
            broker = await stack.enter_async_context(
                open_broker(config, guarded, hosted=hosted)
            )
            clients: OneClient | Principals
            if user is None:
                clients = Principals(broker, await stack.enter_async_context(beside()))
            else:
                opened = open_session(broker, user=user, approval_mode="suspend")
                await stack.enter_async_context(opened)
                clients = OneClient(current_session("gateway"))
            told = Told()
            tasks = await stack.enter_async_context(beside())
            for upstream in servers.upstreams.values():
                tasks.start_soon(watch_upstream, upstream, tools, told)
            listing: Listing | RemoteBroker
            if config.broker:
                listing = cast("RemoteBroker", broker)  # the daemon has the policies
            else:
                listing = Listing(broker, config)
                tasks.start_soon(listing.run)
            tasks.start_soon(watch_policies, broker, told)
            yield gateway_server(
                tools,
                clients,
                pins=config.gateway.pins,
                url=config.service.url,
                version=version,
                told=told,
                listing=listing,
            )


def _boundaries(config: BrokerConfig) -> dict[str, Boundary]:
    """What each server's tools are decided as behind."""
    return {
        name: Boundary(each.sandbox, each.profile)
        for name, each in config.gateway.upstream.items()
    }


async def serve_stdio(config: BrokerConfig, *, user: str, version: str) -> None:
    """Serves the client on stdin and stdout until it goes; raises as `open_gateway`."""
    async with (
        open_gateway(config, user=user, version=version) as server,
        stdio_server() as (read, write),
    ):
        await server.run(read, write, server.create_initialization_options())


async def serve_http(
    config: BrokerConfig, address: str, *, version: str, ready: Callable[[str], None]
) -> None:
    """Serves clients over HTTP until it is cancelled.

    Args:
        config: the settings.
        address: where to listen.
        version: of this program.
        ready: told the URL once it answers.

    Raises:
        ConfigError: as `open_gateway`, or the address or its authorization cannot be had.
    """
    async with (
        open_gateway(config, user=None, version=version) as server,
        served(server, config.gateway.http, address) as url,
    ):
        ready(url)
        await anyio.sleep_forever()
