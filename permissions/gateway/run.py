"""The gateway from the settings to its end: for one client on stdin and stdout, or over HTTP."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
from mcp.server.stdio import stdio_server

from permissions.errors import ConfigError
from permissions.gateway.clients import OneClient, Principals
from permissions.gateway.hosted import HostedTools, hosted_messages, hosted_program
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

    from mcp.server.lowlevel import Server

    from permissions.execution.hosted import HostedProgram
    from permissions.gateway.tools import GatewayTool
    from permissions.gateway.upstream import Transport
    from permissions.service.remote import RemoteBroker
    from permissions.setup.config import BrokerConfig, UpstreamConfig
    from permissions.tools.decorator import GuardedTool
    from permissions.vocabulary import Isolation


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of the settings, connected to as calls need them.

    Attributes:
        upstreams: by name.
        hosted: those that run in a sandbox of ours.
    """

    upstreams: Mapping[str, Upstream]
    hosted: Mapping[str, HostedProgram]

    def executors(
        self, tools: Iterable[GatewayTool]
    ) -> dict[str, tuple[Isolation, HostedTools]]:
        """What runs the tools of hosted servers, by the tool's name, and behind which boundary."""
        own = {
            name: (program.isolation, HostedTools(program, self.upstreams[name].end))
            for name, program in self.hosted.items()
        }
        return {each.name: own[each.upstream] for each in tools if each.upstream in own}


@asynccontextmanager
async def servers_of(config: BrokerConfig) -> AsyncIterator[Servers]:
    """The servers of the settings, which may be connected to until the block ends.

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
            if each.sandbox != "none":
                program = hosted[name] = await hosted_program(config, name, each, stack)
                transport = partial(hosted_messages, program)
                upstreams[name] = Upstream(name, transport, partial(_ended_by, program))
            else:
                upstreams[name] = Upstream(name, _transport(config, each))
        tasks = await stack.enter_async_context(beside())
        for upstream in upstreams.values():
            tasks.start_soon(upstream.run)
        yield Servers(upstreams, hosted)


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


def _ended_by(program: HostedProgram) -> str:
    return program.ended_by


def approved_of(config: BrokerConfig) -> tuple[Pins, Definitions]:
    """What people approved.

    Raises:
        ConfigError: the file cannot be read.
    """
    layout = StateLayout(config.state)
    return Pins.load(config.gateway.pins), Definitions(layout.root / "gateway")


def daemon_tools(config: BrokerConfig) -> list[GuardedTool[..., Any]]:
    """The tools that a daemon has to know for gateways that use it, which run them.

    Raises:
        ConfigError: what people approved cannot be read.
        ToolDefinitionError: an approved tool cannot be governed as its row says.
    """
    pins, definitions = approved_of(config)
    servers = {
        name: Upstream(name, _transport(config, each))
        for name, each in config.gateway.upstream.items()
    }
    return [each.guarded for each in gateway_tools(pins, definitions, servers)]


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
    async with servers_of(config) as servers:
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
    """What each server's tools are decided as behind. A daemon sees none of it."""
    if config.broker:
        return {}
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
