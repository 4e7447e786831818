"""The server that MCP clients speak to: its tools are those of the broker's session.

Both eras of the protocol are the library's. A refused call is a result with `isError` that says
why and what to do, never a protocol error; a call that waits for a person says so, and is made
again with the same arguments after the answer. What a client says about a person's answer
decides nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
from mcp import MCPError
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.subscriptions import ListenHandler
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    INTERNAL_ERROR,
    CallToolResult,
    ElicitRequest,
    ElicitResult,
    InputRequiredResult,
    ListToolsResult,
    TextContent,
    Tool,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from permissions.errors import BrokerError, ToolFailedError
from permissions.gateway.asking import elicitation, where
from permissions.gateway.pinned import heading
from permissions.gateway.progress import PROGRESS, progress_of
from permissions.logs import get_logger
from permissions.model import Denial
from permissions.sessions.told import told
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mcp.server.context import ServerRequestContext
    from mcp.server.models import InitializationOptions
    from mcp.types import (
        CallToolRequestParams,
        ElicitRequestFormParams,
        ElicitRequestURLParams,
        PaginatedRequestParams,
    )

    from permissions.gateway.clients import OneClient, Principals
    from permissions.gateway.told import Told
    from permissions.gateway.tools import GatewayTool
    from permissions.service.remote import RemoteBroker
    from permissions.setup.listing import Listing
    from permissions.vocabulary import JsonObject

_log = get_logger("gateway.server")

ELICIT_SECONDS = 900.0
"""For a client to come back from an elicitation."""

INSTRUCTIONS = (
    "Calls are decided by policies and may wait for a person. A result with isError says why and"
    " what to do; one that is pending is to be called again, unchanged, after the answer."
)


def gateway_server(
    tools: Iterable[GatewayTool],
    clients: OneClient | Principals,
    *,
    pins: Path,
    url: str,
    version: str,
    told: Told,
    listing: Listing | RemoteBroker,
) -> Server[Any]:
    """A server for clients of the gateway.

    Args:
        tools: what it may know of.
        clients: gives the session of whoever asks.
        pins: the file of the approved tools, for whoever has to say more of one.
        url: of the console, where people answer; empty without one.
        version: of this program.
        told: clients that want to know when tools change.
        listing: says which tools policies could allow.
    """
    by_name = {each.name: each for each in tools}
    calls = _Calls(by_name, clients, pins=pins, url=url, told=told, listing=listing)
    return _Server(
        "wardline",
        version=version,
        instructions=INSTRUCTIONS,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call_tool,
        on_subscriptions_listen=ListenHandler(told.bus),
    )


class _Server(Server[Any]):
    """Says to older clients, too, that the list of tools may change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> InitializationOptions:
        changes = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(changes, *args, **kwargs)


class _Calls:
    """What the server does for its clients."""

    def __init__(
        self,
        tools: Mapping[str, GatewayTool],
        clients: OneClient | Principals,
        *,
        pins: Path,
        url: str,
        told: Told,
        listing: Listing | RemoteBroker,
    ) -> None:
        self._tools = tools
        self._clients = clients
        self._pins = pins
        self._url = url
        self._told = told
        self._listing = listing
        self._said = set[str]()

    async def list_tools(
        self, context: ServerRequestContext[Any], _: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """The tools, as they were approved, that policies could allow to whoever asks.

        Without those that a server has changed since.
        """
        self._told.note(context.session)
        offered = [each for each in self._tools.values() if not each.is_quarantined]
        definitions = [each.guarded.guard.definition for each in offered]
        try:
            async with self._clients.session() as handle:
                names = await self._listing.possible(handle.session, definitions)
        except BrokerError as err:
            raise MCPError(INTERNAL_ERROR, f"no session: {type(err).__name__}") from err
        self._say_hidden(each for each in offered if each.name not in names)
        return ListToolsResult(tools=[_listed(each) for each in offered if each.name in names])

    def _say_hidden(self, hidden: Iterable[GatewayTool]) -> None:
        """Tells the operator, once for each tool."""
        for each in hidden:
            if each.name not in self._said:
                self._said.add(each.name)
                more = {} if each.row.is_described else {"mend": _mend(each, self._pins)}
                _log.warning("tool_not_listed", tool=each.name, **more)

    async def call_tool(
        self, context: ServerRequestContext[Any], asked: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Decides a call and runs it; one that waits is shown to a client that can show it."""
        PROGRESS.set(progress_of(context.session))
        result = await self._decided(asked)
        if isinstance(result, Denial) and result.kind == "pending":
            wanted = elicitation(result, context.session.client_capabilities, self._url)
            if wanted is not None and context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                if asked.input_responses is None:  # else it was asked, and still waits
                    requests = {"approval": ElicitRequest(params=wanted)}
                    return InputRequiredResult(input_requests=requests)
            elif wanted is not None and await _went_on(context, wanted):
                result = await self._decided(asked)
        if isinstance(result, CallToolResult):
            return result
        more = _mending(self._tools.get(asked.name), self._pins)
        if result.kind == "pending":
            more["answer"] = where(result, self._url)
        return _error({**told(result), **more})

    async def _decided(self, asked: CallToolRequestParams) -> CallToolResult | Denial:
        call = ToolCall(asked.name, asked.arguments or {}, caller="mcp")
        try:
            async with self._clients.session() as handle:
                result = await handle.call(call, {}, handle.in_task)
        except ToolFailedError as err:
            return _error({"status": "failed", "error": str(err)})
        except BrokerError as err:
            return _error({"status": "unavailable", "error": type(err).__name__})
        return result if isinstance(result, Denial) else _answer(result.value)


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


async def _went_on(
    context: ServerRequestContext[Any], wanted: ElicitRequestURLParams | ElicitRequestFormParams
) -> bool:
    """Asks in the middle of a call, as the older protocol has it; whether to try again."""
    if not context.session.can_send_request:
        return False
    request = ElicitRequest(params=wanted)
    metadata = ServerMessageMetadata(related_request_id=context.request_id)
    with anyio.move_on_after(ELICIT_SECONDS):
        try:
            answer = await context.session.send_request(
                request, ElicitResult, metadata=metadata
            )
        except (MCPError, ValidationError):  # a client that cannot after all
            return False
        return answer.action == "accept"
    return False


def _mending(tool: GatewayTool | None, pins: Path) -> JsonObject:
    """What an operator does when nobody has said yet what the tool does."""
    if tool is None or tool.row.is_described:
        return {}
    return {"operator": _mend(tool, pins)}


def _mend(tool: GatewayTool, pins: Path) -> str:
    row = heading(tool.upstream, tool.offered.name)
    return (
        "Nobody has said yet what this tool does, so it counts as one that runs any code."
        f" Describe it in {pins.name}: effect, impact and marks of {row}, by hand or with"
        f" `wardline gateway describe {tool.upstream} {tool.offered.name}`."
    )


def _error(told: JsonObject) -> CallToolResult:
    text = json.dumps(told, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], is_error=True)
