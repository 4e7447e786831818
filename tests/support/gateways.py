"""What tests of the gateway do as its operator and as its client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from permissions.gateway import run as gateway
from permissions.gateway.offered import Offered
from permissions.gateway.pinned import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mcp import Client
    from mcp.types import Tool

    from permissions.setup.config import BrokerConfig


async def approve(
    config: BrokerConfig, by_tool: Mapping[str, Mapping[str, Any]] | None = None, **row: Any
) -> None:
    """As `wardline gateway pin --yes`, and an operator who then edits the file.

    Args:
        config: the settings.
        by_tool: what the operator says of some of the tools.
        **row: what of all others.
    """
    pins, definitions = gateway.approved_of(config)
    async with gateway.servers_of(config) as servers:
        for name, upstream in servers.upstreams.items():
            for tool, offered in (await upstream.list()).items():
                said = row if by_tool is None else by_tool.get(tool, row)
                made = Row(definition=definitions.put(offered), **said)
                pins = pins.with_row(name, tool, made)
    pins.save(config.gateway.pins)


def approve_tools(config: BrokerConfig, server: str, tools: Iterable[Tool], **row: Any) -> None:
    """As `approve`, for tools that the test knows, so that no server is started for it."""
    pins, definitions = gateway.approved_of(config)
    for each in tools:
        made = Row(definition=definitions.put(Offered.of(each)), **row)
        pins = pins.with_row(server, each.name, made)
    pins.save(config.gateway.pins)


async def say(client: Client, name: str, arguments: dict[str, Any]) -> tuple[bool, str]:
    """Calls a tool; whether that is an error, and the text of the answer."""
    result = await client.call_tool(name, arguments)
    return result.is_error, "".join(getattr(each, "text", "") for each in result.content)
