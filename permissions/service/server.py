"""A broker's socket: for its owner, and in a daemon for clients, each connection one session.

A broker in its agents' process listens for its owner alone (`control`). What follows is the daemon's.

Each connection is one session of one client. It ends with the connection: a client that dies
has its session closed and its questions withdrawn, and a call that it was to run itself is left
in doubt. A client that does not read, floods, or sends what is no frame costs its own connection
only: reading stops while `AT_ONCE` of its questions are in hand, sending has a deadline, and calls
beyond what one client, or all, may have in hand are refused at once (`load`).

Does not protect from: another process of the same user account, which is the same client; and
a client that lies about what a tool in its own process did (the record says who reported it).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from permissions.errors import BrokerError, ConfigError, ServiceError
from permissions.logs import get_logger
from permissions.service.address import make_way, peer_of, short
from permissions.service.clients import Clients
from permissions.service.control import CONTROLS, answered, may_control
from permissions.service.conversation import serve_session
from permissions.service.frames import Frames
from permissions.service.load import Load
from permissions.service.meter import UNMETERED
from permissions.service.opening import first_frame
from permissions.service.tasks import beside
from permissions.service.wire import error_form
from permissions.signing.keys import memory_signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from anyio.abc import SocketStream

    from permissions.broker.broker import PermissionBroker
    from permissions.model import JsonObject
    from permissions.run.state import RunState
    from permissions.service.address import Peer
    from permissions.service.clients import Client
    from permissions.service.conversation import Possible
    from permissions.service.meter import Meter
    from permissions.tools.definition import ToolDefinition

    Reread = Callable[[PermissionBroker, "Server", str], Awaitable[JsonObject]]
    """Reads who may approve and connect again, on somebody's word, and says who they are."""
    Asked = Callable[[Client, Peer, JsonObject], Awaitable[JsonObject]]
    """Answers the only question of a connection; may raise what a session may."""

CONNECTIONS = 512
"""At the same time, of all clients together."""
DRAIN_SECONDS = 30.0
"""For the calls in hand to end, when the daemon is stopped."""

_log = get_logger("service.server")


class Server:
    """Takes connections for one broker until it is told to stop."""

    def __init__(
        self,
        broker: PermissionBroker,
        clients: Clients | None,
        meter: Meter,
        reread: Reread | None = None,
        *,
        questions: Mapping[str, Asked] = MappingProxyType({}),
        leave: Callable[[], None] | None = None,
        possible: Possible | None = None,
    ) -> None:
        self._broker = broker
        self._possible = _all_of if possible is None else possible
        self._reread = reread
        self._questions = questions
        self._signer = memory_signer()
        self._controls = {**CONTROLS, "people": self._people, "revoked": self._revoked}
        if leave is not None:
            self._controls["leave"] = partial(_leaving, leave)
        self._changes = 0
        self._meter = meter
        self.clients = Clients() if clients is None else clients
        """Who may connect by now."""
        self._takes_sessions = clients is not None
        self._open: Counter[str] = Counter()
        self.load = Load()
        """The calls in hand."""
        self._stopping = anyio.Event()
        self._empty = anyio.Event()
        self._until: float | None = None

    def replace_clients(self, clients: Clients) -> None:
        """Others may connect from now on; open sessions are looked at when they next ask."""
        self.clients = clients
        self._changes += 1

    async def _people(self, _: PermissionBroker, __: JsonObject, by: str) -> JsonObject:
        if self._reread is None:
            raise ServiceError("this broker was given its settings; there is nothing to reload")
        return await self._reread(self._broker, self, by)

    async def _revoked(self, _: PermissionBroker, __: JsonObject, ___: str) -> JsonObject:
        """Tokens were revoked: nothing that was found out before counts."""
        self._changes += 1
        return {}

    async def drain(self) -> None:
        """Takes no new session, and returns when those in hand have ended their calls."""
        self._stopping.set()
        if self.sessions:
            await self._empty.wait()

    async def drained(self) -> None:
        """As `drain`, and returns `DRAIN_SECONDS` after it was first called at the latest."""
        if self._until is None:
            self._until = anyio.current_time() + DRAIN_SECONDS
        with anyio.CancelScope(deadline=self._until):
            await self.drain()

    @property
    def stopping(self) -> anyio.Event:
        """Set once no new session is taken."""
        return self._stopping

    def hindrance(self) -> str | None:
        """Why it would refuse a new session now; None when it would not."""
        if self._stopping.is_set():
            return "the broker's daemon is stopping"
        if self.sessions >= CONNECTIONS:
            return f"the broker's daemon has {self.sessions} sessions, and takes no more"
        if self.load.is_full:
            return f"the broker's daemon has {self.load.calls} calls in hand, and takes no more"
        return None

    @property
    def sessions(self) -> int:
        """How many connections there are."""
        return self._open.total()

    async def connection(self, stream: SocketStream) -> None:
        """Serves one connection of the unix socket to its end."""
        frames, peer, asked = Frames(stream), peer_of(stream), None
        try:
            if may_control(peer):
                asked = await first_frame(frames)
                if asked is None or asked.get("do") in self._controls:
                    await self._control(frames, asked, peer)
                    return
        except BrokerError as err:
            await refuse(frames, err)
            return

        async def find() -> Client:
            return self._client_of(peer)

        await self.serve(frames, find, asked, peer)

    async def _control(self, frames: Frames, asked: JsonObject | None, peer: Peer) -> None:
        if asked is not None:
            said = await answered(self._controls, self._broker, asked, str(peer))
            with suppress(ServiceError):  # who asked is gone
                await frames.send({"id": asked.get("id"), **said})
        await frames.close()

    def _client_of(self, peer: Peer) -> Client:
        if not self._takes_sessions:
            raise ServiceError(
                "this broker is of one program alone; `wardline serve` runs one for others"
            )
        return self.clients.of_uid(peer.uid, own=os.geteuid())

    async def serve(
        self,
        frames: Frames,
        find: Callable[[], Awaitable[Client]],
        asked: JsonObject | None = None,
        peer: Peer | None = None,
    ) -> None:
        """Serves one connection to its end; whatever goes wrong ends this one alone.

        Args:
            frames: the connection.
            find: whose it is by now; raises `ServiceError` for nobody's.
            asked: its first frame, if that was read.
            peer: the process at its other end, of this machine.
        """
        try:
            client = await find()
        except BrokerError as err:
            await refuse(frames, err)
            return
        self._open[client.name] += 1
        try:
            self._require_room(client)
            if asked is None and (asked := await first_frame(frames)) is None:
                return
            if peer is not None and (answers := self._questions.get(asked.get("do", ""))):
                await self._answer(frames, client, asked, partial(answers, client, peer))
                return
            await serve_session(
                self._broker,
                frames,
                client,
                asked,
                signer=self._signer,
                find=find,
                changes=lambda: self._changes,
                stopping=self._stopping,
                meter=self._meter,
                load=self.load,
                possible=self._possible,
            )
        except BrokerError as err:
            await refuse(frames, err, client=client.name)
        except Exception as err:  # noqa: BLE001 - one client's fault is not the others'
            _log.exception("client_failed", client=client.name, fault=type(err).__name__)
            await refuse(frames, ServiceError("the daemon met an error of its own"))
        finally:
            self._open[client.name] -= 1
            await frames.close()
            if not self.sessions and self._stopping.is_set():
                self._empty.set()

    async def _answer(
        self,
        frames: Frames,
        client: Client,
        asked: JsonObject,
        answer: Callable[[JsonObject], Awaitable[JsonObject]],
    ) -> None:
        """Answers the only question of a connection."""
        began = time.perf_counter()
        if (excess := self.load.excess(client)) is not None:
            raise ServiceError(excess)
        try:
            with self.load.taken(client):
                said = await answer(asked)
        finally:
            self._meter.answered(asked["do"], time.perf_counter() - began)
        with suppress(ServiceError):  # who asked is gone
            await frames.send({"id": asked.get("id"), **said})

    def _require_room(self, client: Client) -> None:
        if self._stopping.is_set():
            raise ServiceError("the broker's daemon is stopping; ask again in a moment")
        own = self._open[client.name]
        if self._open.total() > CONNECTIONS or own > client.sessions:
            raise ServiceError(
                f"the broker's daemon has {self._open.total()} sessions, {own} of the client"
                f" {client.name!r}, and takes no more; close some"
            )


@asynccontextmanager
async def listening(
    broker: PermissionBroker,
    path: Path,
    clients: Clients | None,
    meter: Meter = UNMETERED,
    reread: Reread | None = None,
    *,
    questions: Mapping[str, Asked] = MappingProxyType({}),
    leave: Callable[[], None] | None = None,
    possible: Possible | None = None,
    mode: int | None = None,
) -> AsyncIterator[Server]:
    """Listens while the context is open; then lets what is in hand end, `DRAIN_SECONDS` at most.

    Args:
        broker: opened in this event loop.
        path: of the socket. Any account may connect, and is judged by who it is; without
            `clients`, the broker's own and root.
        clients: who is known; None for a broker that takes no sessions.
        meter: is told of each question.
        reread: reads the settings again (`Reread`).
        questions: what else a client of this machine may ask, a connection for each, by its name.
        leave: ends a broker that gives way to others, when its owner asks for it.
        possible: which tools policies could allow in a session; all of them without it.
        mode: of the socket; who may connect, by default.

    Raises:
        ConfigError: the socket cannot be made there safely, or a broker listens there already.
    """
    await make_way(path)
    server = Server(
        broker, clients, meter, reread, questions=questions, leave=leave, possible=possible
    )
    if mode is None:
        mode = 0o600 if clients is None else 0o666
    with short(path.parent) as folder:
        try:
            listener = await anyio.create_unix_listener(f"{folder}/{path.name}", mode=mode)
        except OSError as err:
            raise ConfigError(f"{path} cannot be listened on: {err.strerror}") from err
    async with listener, beside() as connections:
        connections.start_soon(listener.serve, server.connection, connections)
        yield server
        await server.drained()  # who connects meanwhile is told why it is not served
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - one name


async def _all_of(_: RunState, tools: Iterable[ToolDefinition]) -> frozenset[str]:
    return frozenset(each.name for each in tools)


async def _leaving(
    leave: Callable[[], None], _: PermissionBroker, __: JsonObject, ___: str
) -> JsonObject:
    leave()
    return {"pid": os.getpid()}


async def refuse(frames: Frames, err: BrokerError, *, client: str | None = None) -> None:
    """Says why to whoever is not served, and hangs up."""
    _log.warning("client_refused", client=client, cause=str(err)[:300])
    try:
        await frames.send({"id": 0, **error_form(err)})
    except ServiceError as gone:
        _log.debug("client_gone", cause=str(gone))
    await frames.close()
