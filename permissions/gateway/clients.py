"""A session of the broker for each principal that speaks to the gateway over HTTP.

Requests of the newer protocol stand alone, so a run is that of a principal (person and client),
and ends when nothing was asked for `IDLE_SECONDS`: with it the labels and origins it gathered.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from mcp.server.auth.middleware.auth_context import get_access_token

from permissions.errors import BrokerError, NoSessionError
from permissions.integrations._asked import current_session
from permissions.logs import get_logger
from permissions.sessions.open import open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import TaskGroup

    from permissions.broker.broker import PermissionBroker
    from permissions.sessions.handle import CurrentSession

_log = get_logger("gateway.clients")

IDLE_SECONDS = 1800.0
MOST = 256
"""Principals at a time; one more is refused until another has gone."""


@dataclass(eq=False)
class _Held:
    """The session of one principal, in a task of its own."""

    settled: anyio.Event = field(default_factory=anyio.Event)
    handle: CurrentSession | None = None
    failed: BrokerError | None = None
    calls: int = 0
    used_at: float = field(default_factory=anyio.current_time)


class OneClient:
    """The session of whoever speaks on stdin: there is one.

    Args:
        handle: of it.
    """

    def __init__(self, handle: CurrentSession) -> None:
        self._handle = handle

    @asynccontextmanager
    async def session(self) -> AsyncIterator[CurrentSession]:
        """The session, for one request."""
        yield self._handle


class Principals:
    """Finds the session of the principal whose request is at hand, and opens it the first time.

    Args:
        broker: of the gateway.
        tasks: where sessions live.
    """

    def __init__(self, broker: PermissionBroker, tasks: TaskGroup) -> None:
        self._broker = broker
        self._tasks = tasks
        self._held: dict[tuple[str, str], _Held] = {}

    @asynccontextmanager
    async def session(self) -> AsyncIterator[CurrentSession]:
        """The session, for one request; it does not end meanwhile.

        Raises:
            NoSessionError: nobody is known to ask, or there are too many.
            BrokerError: the session does not open.
        """
        token = get_access_token()
        if token is None or not token.subject:
            raise NoSessionError("nobody is known to ask")
        key = (token.subject, token.client_id)
        held = self._held.get(key)
        if held is None:
            if len(self._held) >= MOST:
                raise NoSessionError(f"{MOST} clients have sessions already")
            held = self._held[key] = _Held()
            self._tasks.start_soon(self._hold, key, held)
        held.calls += 1
        try:
            await held.settled.wait()
            if held.handle is None:
                raise held.failed or NoSessionError("the session ended")
            yield held.handle
        finally:
            held.calls -= 1
            held.used_at = anyio.current_time()

    async def _hold(self, key: tuple[str, str], held: _Held) -> None:
        user, agent = key
        try:
            async with open_session(
                self._broker, user=user, agent=agent or None, approval_mode="suspend"
            ):
                held.handle = current_session("gateway")
                held.settled.set()
                await _until_idle(held)
                del self._held[key]  # from here on a request opens another
        except BrokerError as err:
            _log.warning("gateway_session_failed", fault=type(err).__name__)
            held.failed = err
        finally:
            if self._held.get(key) is held:
                del self._held[key]
            held.settled.set()


async def _until_idle(held: _Held) -> None:
    while (left := held.used_at + IDLE_SECONDS - anyio.current_time()) > 0 or held.calls:  # noqa: ASYNC110 - it is time that is waited for
        await anyio.sleep(max(left, 1.0))
