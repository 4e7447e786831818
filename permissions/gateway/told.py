"""Telling clients that the tools they may see are others now, in both eras of the protocol.

An older client is told on its session, best effort; a newer one on the stream it listens on. A
notice says nothing but that: a client that wants to know lists again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import anyio
from mcp.server.subscriptions import InMemorySubscriptionBus, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp.server.session import ServerSession

    from permissions.broker.broker import PermissionBroker
    from permissions.gateway.tools import GatewayTool
    from permissions.gateway.upstream import Upstream
    from permissions.service.remote import RemoteBroker

MOST = 256
"""Older clients that are remembered; the one that listed longest ago is forgotten first."""
PAUSE_SECONDS = 1.0
"""Between two notices about one server, however often that says that something changed."""


class Told:
    """The clients that may be told."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._sessions: OrderedDict[int, ServerSession] = OrderedDict()

    def note(self, session: ServerSession) -> None:
        """Remembers a client that has seen a list. A newer one says itself that it listens."""
        if session.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return
        key = id(session.client_params)  # one object for as long as the client is connected
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        if len(self._sessions) > MOST:
            self._sessions.popitem(last=False)

    async def tell(self) -> None:
        """Tells all of them."""
        await self.bus.publish(ToolsListChanged())
        for key, session in list(self._sessions.items()):
            try:
                with anyio.move_on_after(PAUSE_SECONDS):
                    await session.send_tool_list_changed()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._sessions.pop(key, None)


async def watch_upstream(upstream: Upstream, tools: Iterable[GatewayTool], told: Told) -> None:
    """Tells clients when a server's tools are quarantined, or are again what was approved."""
    own = [each for each in tools if each.upstream == upstream.name]
    before = _quarantined(own)
    while True:
        changed = upstream.changed
        now = _quarantined(own)
        if now != before:
            before = now
            await told.tell()
        await changed.wait()
        await upstream.look_again()
        await anyio.sleep(PAUSE_SECONDS)


async def watch_policies(broker: PermissionBroker | RemoteBroker, told: Told) -> None:
    """Tells clients when other policies come into force, which may allow other tools."""
    reloaded = broker.reloaded
    while True:
        await reloaded.wait()
        reloaded = broker.reloaded  # before they are told: what comes meanwhile counts
        await told.tell()


def _quarantined(tools: Iterable[GatewayTool]) -> set[str]:
    return {each.name for each in tools if each.is_quarantined}
