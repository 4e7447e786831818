"""The server that MCP clients speak to: its tools are those of the broker's session.

Both eras of the protocol are the library's. A refused call is a result with `isError` that says
why and what to do, never a protocol error; a call that waits for a person says so, and is made
again with the same arguments after the answer. What a client says about a person's answer
decides nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mcp.server.lowlevel import Server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
from pydantic import ValidationError

from permissions.errors import BrokerError, ToolFailedError
from permissions.gateway.pinned import heading
from permissions.model import Denial
from permissions.reasons import Code
from permissions.sessions.told import told
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mcp.server.context import ServerRequestContext
    from mcp.types import CallToolRequestParams, PaginatedRequestParams

    from permissions.gateway.clients import OneClient, Principals
    from permissions.gateway.tools import GatewayTool
    from permissions.vocabulary import JsonObject

INSTRUCTIONS = (
    "Calls are decided by policies and may wait for a person. A result with isError says why and"
    " what to do; one that is pending is to be called again, unchanged, after the answer."
)


def gateway_server(
    tools: Iterable[GatewayTool], clients: OneClient | Principals, *, pins: Path, version: str
) -> Server[Any]:
    """A server for clients of the gateway.

    Args:
        tools: what it may know of.
        clients: gives the session of whoever asks.
        pins: the file of the approved tools, for whoever has to say more of one.
        version: of this program.
    """
    by_name = {each.name: each for each in tools}

    async def list_tools(
        _: ServerRequestContext[Any], __: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[_listed(each) for each in by_name.values()])

    async def call_tool(
        _: ServerRequestContext[Any], asked: CallToolRequestParams
    ) -> CallToolResult:
        call = ToolCall(asked.name, asked.arguments or {}, caller="mcp")
        try:
            async with clients.session() as handle:
                result = await handle.call(call, {}, handle.in_task)
        except ToolFailedError as err:
            return _error({"status": "failed", "error": str(err)})
        except BrokerError as err:
            return _error({"status": "unavailable", "error": type(err).__name__})
        if isinstance(result, Denial):
            mending = _mending(by_name.get(asked.name), result, pins)
            return _error({**told(result), **mending})
        return _answer(result.value)

    return Server(
        "wardline",
        version=version,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _listed(tool: GatewayTool) -> Tool:
    """As it was approved. Output schemas are left out: a denial has no such form."""
    offered = tool.offered
    return Tool(
        name=tool.name, description=offered.description, input_schema=offered.input_schema
    )


def _answer(value: Any) -> CallToolResult:
    try:
        return CallToolResult.model_validate(value)
    except ValidationError:  # redacted by a policy into something else
        return CallToolResult(content=[TextContent(text=json.dumps(value, ensure_ascii=False))])


def _mending(tool: GatewayTool | None, denial: Denial, pins: Path) -> JsonObject:
    """What an operator does when nobody has said yet what the tool does."""
    codes = {each.code for each in denial.reasons}
    if tool is None or tool.row.is_described or Code.ISOLATION_UNAVAILABLE not in codes:
        return {}
    row = heading(tool.upstream, tool.offered.name)
    return {
        "operator": f"Nobody has said yet what this tool does, so it counts as one that runs any"
        f" code. Describe it in {pins.name}: effect, impact and marks of {row}."
    }


def _error(told: JsonObject) -> CallToolResult:
    text = json.dumps(told, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], is_error=True)
