"""A gateway for one client on stdin and stdout, from the settings to its end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from mcp.server.stdio import stdio_server

from permissions.errors import ConfigError
from permissions.gateway.pinned import Definitions, Pins
from permissions.gateway.server import gateway_server
from permissions.gateway.tools import SEPARATOR, gateway_tools
from permissions.gateway.upstream import Address, Upstream
from permissions.integrations._asked import current_session
from permissions.sessions.open import open_session
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mcp.server.lowlevel import Server

    from permissions.setup.config import BrokerConfig


def upstreams_of(config: BrokerConfig) -> dict[str, Upstream]:
    """The servers of the settings, not yet connected.

    Raises:
        ConfigError: there are none, or one has no address or two, or a name no tool can have.
    """
    if not config.gateway.upstream:
        raise ConfigError(
            'no MCP server: say [gateway.upstream.NAME] command = ["PROGRAM", ...], or url'
        )
    found = {}
    for name, each in config.gateway.upstream.items():
        where = f"gateway.upstream.{name}"
        if not name.isidentifier() or SEPARATOR in name or name.endswith("_"):
            raise ConfigError(f"{where}: a name has letters, digits and single underscores")
        if bool(each.command) == bool(each.url):
            raise ConfigError(f"{where}: say either command or url")
        if each.url and not each.url.startswith(
            ("https://", "http://127.", "http://localhost")
        ):
            raise ConfigError(f"{where}: {each.url[:80]} is neither https nor on this machine")
        address = Address(each.command, each.url, each.environment, each.folder)
        found[name] = Upstream(name, address)
    return found


def approved_of(config: BrokerConfig) -> tuple[Pins, Definitions]:
    """What people approved.

    Raises:
        ConfigError: the file cannot be read.
    """
    layout = StateLayout(config.state)
    return Pins.load(config.gateway.pins), Definitions(layout.root / "gateway")


@asynccontextmanager
async def running(upstreams: Mapping[str, Upstream]) -> AsyncIterator[None]:
    """Lets connections be made to them, until the block ends."""
    async with anyio.create_task_group() as tasks:
        for each in upstreams.values():
            tasks.start_soon(each.run)
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_gateway(
    config: BrokerConfig, *, user: str, version: str
) -> AsyncIterator[Server[object]]:
    """A server for one client, with its broker and its session.

    Args:
        config: the settings.
        user: whose calls they are.
        version: of this program.

    Raises:
        ConfigError: a setting cannot be used, or nothing was approved yet.
        ToolDefinitionError: an approved tool cannot be governed as its row says.
        BrokerError: the broker does not open.
    """
    upstreams = upstreams_of(config)
    pins, definitions = approved_of(config)
    tools = list(gateway_tools(pins, definitions, upstreams))
    if not tools:
        raise ConfigError(
            f"{config.gateway.pins}: no tool of these servers is approved; `wardline gateway pin`"
        )
    async with (
        running(upstreams),
        open_broker(config, [each.guarded for each in tools]) as broker,
        open_session(broker, user=user, approval_mode="suspend"),
    ):
        handle = current_session("gateway")
        yield gateway_server(tools, handle, pins=config.gateway.pins, version=version)


async def serve_stdio(config: BrokerConfig, *, user: str, version: str) -> None:
    """Serves the client on stdin and stdout until it goes; raises as `open_gateway`."""
    async with (
        open_gateway(config, user=user, version=version) as server,
        stdio_server() as (read, write),
    ):
        await server.run(read, write, server.create_initialization_options())
