"""Serves the application: a listening socket of ours, and uvicorn in the broker's event loop.

A client that is slow to ask costs its own connection only: a request that has not come whole
after `HEADER_SECONDS` is hung up on, and at most `CONNECTIONS` are open at a time.

Not protected from: a flood of connections, which costs every client of this port its turn. The
socket of agents is another one, and loses nothing by it.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from permissions.errors import ConfigError
from permissions.service.tasks import beside

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    from starlette.applications import Starlette

    from permissions.service.endpoint import Endpoint, TlsFiles

CONNECTIONS = 256
"""At the same time; one more is told 503."""
HEADER_SECONDS = 10.0
"""For the head of a request to come whole."""
STOP_SECONDS = 5.0
"""For the answers in hand to end, when the daemon is stopped."""
_HEAD_BYTES = 32 * 1024


@asynccontextmanager
async def hosting(
    app: Starlette, endpoint: Endpoint, *, tls: TlsFiles | None
) -> AsyncIterator[tuple[str, int]]:
    """Serves the application while the context is open; gives the address it got.

    Args:
        app: answers requests.
        endpoint: where to listen; port 0 takes a free one.
        tls: certificate and key; None for plain HTTP, which `Endpoint` leaves to the loopback.

    Raises:
        ConfigError: that address cannot be had, or the certificate cannot be used.
    """
    endpoint.require_private(tls)
    server = _Server(_config(app, tls))
    with endpoint.bound() as listener:
        async with beside() as tasks:
            ended = anyio.Event()
            tasks.start_soon(_serve, server, listener, ended)
            while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
                await anyio.sleep(0.01)
            host, port, *_ = listener.getsockname()
            try:
                yield host, port
            finally:
                server.should_exit = True
                with anyio.move_on_after(STOP_SECONDS + 1, shield=True):
                    await ended.wait()


async def _serve(server: _Server, listener: socket.socket, ended: anyio.Event) -> None:
    try:
        await server.serve(sockets=[listener])
    finally:
        ended.set()


def _config(app: Starlette, tls: TlsFiles | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=_Impatient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(STOP_SECONDS),
        ssl_certfile=None if tls is None else str(tls.certificate),
        ssl_keyfile=None if tls is None else str(tls.key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as err:
        raise ConfigError(
            f"service.tls: the certificate or its key cannot be used: {err}"
        ) from err
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


class _State(ServerState):
    """What a server's connections share."""

    is_stopping = False


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the daemon, and hangs up on who comes while it stops.

    uvicorn tells the connections that there are when it stops, and then waits for all.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state: _State = _State()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.is_stopping = True
        await super().shutdown(sockets)

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


class _Impatient(H11Protocol):
    """Hangs up on who does not say what they want; uvicorn would wait for ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: Any = None  # a timer of the loop

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        state: Any = self.server_state
        if state.is_stopping:
            transport.close()
            return
        self._deadline = self.loop.call_later(HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        waits = cycle is None or cycle.response_complete
        if not waits and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif waits and self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
