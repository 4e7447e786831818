"""The connection to one MCP server: what it offers now, and its tools' calls.

A server is untrusted: it may flood, hang, lie, change and die. What it offers is compared
with what was approved whenever it says that something changed, and once a minute; a connection
that ended is made anew by the next call. Not protected from: a server that behaves otherwise
under the same definition.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import anyio
from mcp import Client, MCPError
from mcp.types import ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from permissions.errors import GatewayError, ToolDefinitionError
from permissions.gateway.offered import Offered
from permissions.logs import get_logger
from permissions.service.tasks import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from mcp.client._transport import TransportStreams
    from mcp.shared.dispatcher import ProgressFnT
    from mcp.types import CallToolResult

    from permissions.vocabulary import JsonObject

_log = get_logger("gateway.upstream")

MAX_TOOLS = 512
LISTED_FOR_SECONDS = 60
ANSWER_SECONDS = 120
CONNECT_SECONDS = 30
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


Transport: TypeAlias = "Callable[[], AbstractAsyncContextManager[TransportStreams]]"
"""Connects to a server anew."""


@dataclass(eq=False)
class _Connection:
    """One connection from its beginning to its end; `run` owns it, calls use it."""

    settled: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)
    client: Client | None = None
    failed: str = ""


class Upstream:
    """One server. Somebody has to `run` it beside what calls it.

    Args:
        name: what its tools' names begin with.
        transport: connects to it.
        ended_by: says why the server ended, where that is known.
    """

    def __init__(
        self, name: str, transport: Transport, ended_by: Callable[[], str] = str
    ) -> None:
        self.name = name
        self.offered: dict[str, Offered] = {}
        self._transport = transport
        self._ended_by = ended_by
        self._now: _Connection | None = None
        self._listed_at = float("-inf")
        self._listing = anyio.Lock()
        self._wanted = anyio.Event()
        self._said_changed = False
        self.changed = anyio.Event()
        """Set when it offers something else, or says so; another one stands here then."""

    async def run(self) -> None:
        """Makes connections as they are wanted; ends when it is cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            if self._now is not None:
                await self._hold(self._now)

    async def _hold(self, connection: _Connection) -> None:
        """One connection, in the task that entered it."""
        try:
            with anyio.CancelScope() as scope:
                scope.deadline = anyio.current_time() + CONNECT_SECONDS
                async with self._new_client() as client, beside() as tasks:
                    scope.deadline = float("inf")
                    connection.client = client
                    connection.settled.set()
                    tasks.start_soon(self._listen, client)
                    await connection.over.wait()
            if scope.cancelled_caught:
                connection.failed = f"no answer within {CONNECT_SECONDS} s"
        except Exception as err:  # noqa: BLE001 - whatever a server does to its client
            connection.failed = _said(err)
        finally:
            connection.client = None
            connection.failed = self._ended_by() or connection.failed
            connection.over.set()
            connection.settled.set()
            connection.gone.set()

    async def end(self) -> None:
        """Ends the connection, and a server that is a program of ours with it."""
        if (connection := self._now) is not None:
            connection.over.set()
            await connection.gone.wait()

    async def list(self) -> Mapping[str, Offered]:
        """What it offers now.

        Raises:
            GatewayError: it cannot be reached, or what it offers cannot be read.
        """
        connection, client = await self._connected()
        found: dict[str, Offered] = {}
        cursor: str | None = None
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                while len(found) <= MAX_TOOLS:
                    page = await client.list_tools(cursor=cursor)
                    for each in page.tools:
                        if each.name in found:
                            raise GatewayError(f"{self.name}: offers {each.name[:80]!r} twice")
                        found[each.name] = Offered.of(each)
                    cursor = page.next_cursor
                    if cursor is None or not page.tools:
                        break
        except (MCPError, TimeoutError, ValueError, *_BROKEN) as err:
            connection.over.set()
            raise GatewayError(
                f"{self.name}: does not say what it offers ({_said(err)})"
            ) from err
        if len(found) > MAX_TOOLS:
            raise GatewayError(f"{self.name}: offers over {MAX_TOOLS} tools")
        self._listed_at = anyio.current_time()
        self.note(found)
        return found

    def note(self, offered: Mapping[str, Offered]) -> None:
        """Takes down what it offers; an empty list where that is not known."""
        if offered != self.offered:
            self.offered = dict(offered)
            self._note_change()

    async def look_again(self) -> None:
        """Finds out what it offers now, if it said that this changed and is still there."""
        connection = self._now
        if self._said_changed and connection is not None and not connection.over.is_set():
            self._said_changed = False
            with suppress(GatewayError):
                await self.list()

    async def call(
        self,
        tool: str,
        arguments: JsonObject,
        approved: str,
        progress: ProgressFnT | None = None,
    ) -> CallToolResult:
        """Calls a tool, if it is still what was approved.

        Args:
            tool: its name there.
            arguments: as they were decided.
            approved: digest of the definition that was.
            progress: told how far it is.

        Raises:
            GatewayError: it is not, or the server cannot be reached or gives no answer.
        """
        connection, client = await self._connected()
        if anyio.current_time() - self._listed_at > LISTED_FOR_SECONDS:
            async with self._listing:
                if anyio.current_time() - self._listed_at > LISTED_FOR_SECONDS:
                    await self.list()
        require_approved(self.name, tool, self.offered.get(tool), approved)
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                return await client.call_tool(tool, arguments, progress_callback=progress)
        except (MCPError, TimeoutError, ValueError, RuntimeError, *_BROKEN) as err:
            connection.over.set()  # the next call finds out whether it is well
            await connection.gone.wait()
            said = self._ended_by() or _said(err)
            raise GatewayError(f"{self.name}: gave no answer ({said})") from err

    async def _connected(self) -> tuple[_Connection, Client]:
        connection = self._now
        if connection is None or connection.over.is_set():
            connection = self._now = _Connection()
            self._listed_at = float("-inf")
            self._wanted.set()
        await connection.settled.wait()
        if connection.client is None:
            said = connection.failed or "the connection ended"
            raise GatewayError(f"{self.name}: cannot be reached ({said})")
        return connection, connection.client

    def _new_client(self) -> Client:
        return Client(
            self._transport(),
            message_handler=self._heard,
            cache=None,  # a remembered list would hide a change
            read_timeout_seconds=ANSWER_SECONDS,
        )

    async def _heard(self, message: object) -> None:
        if isinstance(getattr(message, "root", message), ToolListChangedNotification):
            self._hear_change()

    async def _listen(self, client: Client) -> None:
        """As `_heard`, for a server of the newer protocol, which says it to who listens."""
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return
        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._hear_change()
        except Exception as err:  # noqa: BLE001 - whatever a server does; it is asked again anyway
            _log.info("upstream_tells_no_changes", upstream=self.name, fault=_said(err))

    def _hear_change(self) -> None:
        self._listed_at = float("-inf")
        self._said_changed = True
        self._note_change()

    def _note_change(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


def is_approved(now: Offered | None, approved: str) -> bool:
    """Whether a tool is offered, as people saw it."""
    try:
        return now is not None and now.digest == approved
    except ToolDefinitionError:
        return False


def require_approved(upstream: str, tool: str, now: Offered | None, approved: str) -> None:
    """Checks that a tool is what people saw.

    Raises:
        GatewayError: it is gone, or was changed since.
    """
    if now is None:
        raise GatewayError(f"{upstream}: does not offer {tool[:80]!r} any more")
    if not is_approved(now, approved):
        raise GatewayError(
            f"{upstream}: {tool[:80]!r} is not what was approved; `wardline gateway pin"
            f" {upstream}` shows what changed"
        )


def _said(err: BaseException) -> str:
    while isinstance(err, BaseExceptionGroup):  # of a task group: the first says why
        err = err.exceptions[0]
    return str(err)[:300] or type(err).__name__
