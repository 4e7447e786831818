"""Tools of an MCP client under `guard`, whose server changes them while a session is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import Client
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool

from permissions.model import Denial
from permissions.sessions.open import open_session
from permissions.testing import memory_broker, permitted
from permissions.tools.decorator import guard_of
from wardline import guard

if TYPE_CHECKING:
    from permissions.tools.decorator import GuardedTool

pytestmark = pytest.mark.slow


def offered(name: str, *arguments: str) -> Tool:
    properties = {each: {"type": "string"} for each in ("city", *arguments)}
    schema = {"type": "object", "properties": properties, "required": ["city"]}
    return Tool(name=name, description="Says it.", input_schema=schema)


def guarded(client: Client, tool: Tool) -> GuardedTool[..., Any]:
    """As the guide has it."""

    async def call(**arguments: Any) -> Any:
        return (await client.call_tool(tool.name, arguments)).model_dump(mode="json")

    return guard(
        call,
        name=tool.name,
        parameters=tool.input_schema,
        description=tool.description,
        effect="read",
        impact="low",
        marks={"city": "free"},
        on_deny="return",
    )


async def test_what_is_the_same_goes_on_and_what_changed_or_is_new_is_refused() -> None:
    tools, called, bus = [offered("sun"), offered("rain")], [], InMemorySubscriptionBus()

    async def list_tools(_: Any, __: Any) -> ListToolsResult:
        return ListToolsResult(tools=tools)

    async def call_tool(_: Any, asked: Any) -> CallToolResult:
        called.append(asked.name)
        return CallToolResult(content=[TextContent(text="dry")])

    server = Server(
        "weather",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=ListenHandler(bus),
    )
    async with Client(server) as client, client.listen(tools_list_changed=True) as changes:
        known = [guarded(client, each) for each in (await client.list_tools()).tools]
        async with (
            memory_broker(known, decide=lambda _: permitted()) as broker,
            open_session(broker, user="kim"),
        ):
            before = await known[0](city="Ulm")
            tools[1:] = [offered("rain", "mail"), offered("snow")]
            await bus.publish(ToolsListChanged())
            with anyio.fail_after(30):
                await anext(aiter(changes))
            now = {
                each.name: guarded(client, each) for each in (await client.list_tools()).tools
            }
            after = {name: await made(city="Ulm") for name, made in now.items()}

    assert before["content"][0]["text"] == after["sun"]["content"][0]["text"] == "dry"
    codes = {
        name: said.reasons[0].code for name, said in after.items() if isinstance(said, Denial)
    }
    assert codes == {"rain": "call.changed", "snow": "tool.unregistered"}
    assert called == ["sun", "sun"]
    assert guard_of(now["sun"]).definition.digest == guard_of(known[0]).definition.digest
