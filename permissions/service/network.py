"""The same protocol over TCP: who connects is known by a certificate or a token.

Until a peer is known it may take `INTRODUCE_SECONDS` and have a frame of `TOKEN_BYTES` read;
only then is a session's first frame read from it. Of more than `UNKNOWN` such peers the one
that waits longest is hung up on. With a certificate of the daemon's all is TLS 1.3, both ways.

Not protected from: a flood that is faster than an honest client's introduction, which keeps
clients of the network out (those of the unix socket are not); a certificate that its authority
revoked, which counts until the settings say so (`service.revoked_certificates`).
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from permissions.errors import BrokerError, ConfigError, ServiceError
from permissions.logs import get_logger
from permissions.service.frames import Frames
from permissions.service.server import refuse
from permissions.service.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from anyio.abc import ByteStream, SocketStream

    from permissions.service.clients import Client
    from permissions.service.endpoint import Endpoint, TlsFiles
    from permissions.service.server import Server

UNKNOWN = 64
"""Connections at the same time of whoever has not said yet who they are."""
INTRODUCE_SECONDS = 10.0
"""To shake hands and show a token."""
TOKEN_BYTES = 4096
"""Of the frame with a token."""

_log = get_logger("service.network")


def server_context(tls: TlsFiles, client_ca: Path | None) -> ssl.SSLContext:
    """How the daemon speaks TLS: 1.3 only, and whose certificates of clients it believes.

    Raises:
        ConfigError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as err:
        raise ConfigError(
            f"service.tls_certificate, tls_key or client_ca cannot be used: {err}"
        ) from err
    return context


@asynccontextmanager
async def listening_on(
    server: Server,
    endpoint: Endpoint,
    *,
    tls: ssl.SSLContext | None,
    token_of: Callable[[str], Awaitable[str | None]],
) -> AsyncIterator[str]:
    """Takes connections for a server while the context is open; gives the address.

    Args:
        server: serves them once it is known whose they are.
        endpoint: where to listen; port 0 takes a free one.
        tls: None for plain TCP, on the loopback.
        token_of: the client that a token is good for now, or None.

    Raises:
        ConfigError: that address cannot be had.
    """
    entrance = _Entrance(server, tls, token_of)
    with endpoint.bound() as bound:
        bound.setblocking(False)  # noqa: FBT003 - a method of the standard library's
        # A second descriptor of the socket: anyio closes the one it is given.
        listener = await anyio.abc.SocketListener.from_socket(bound.dup())
        async with listener, beside() as connections:
            connections.start_soon(listener.serve, entrance.connection, connections)
            host, port, *_ = bound.getsockname()
            yield f"tcp://{endpoint._replace(host=host, port=port)}"
            await server.drained()  # who connects meanwhile is told why it is not served


class _Entrance:
    """Learns who connects, and hands the connection on."""

    def __init__(
        self,
        server: Server,
        tls: ssl.SSLContext | None,
        token_of: Callable[[str], Awaitable[str | None]],
    ) -> None:
        self._server = server
        self._tls = tls
        self._token_of = token_of
        self._unknown: dict[SocketStream, anyio.CancelScope] = {}

    async def connection(self, stream: SocketStream) -> None:
        """Serves one connection to its end; whatever goes wrong ends this one alone."""
        if len(self._unknown) >= UNKNOWN:
            # Who means it is known within moments; the one that waits longest does not.
            oldest = next(iter(self._unknown))
            self._unknown.pop(oldest).cancel()
        introduced = None
        try:
            with anyio.move_on_after(INTRODUCE_SECONDS) as scope:
                self._unknown[stream] = scope
                introduced = await self._introduced(stream)
        except Exception as err:  # noqa: BLE001 - one client's fault is not the others'
            _log.warning("client_not_known", peer=_address(stream), cause=str(err)[:200])
        finally:
            self._unknown.pop(stream, None)
        if introduced is None:
            await anyio.aclose_forcefully(stream)
            return
        await self._server.serve(*introduced)

    async def _introduced(
        self, raw: SocketStream
    ) -> tuple[Frames, Callable[[], Awaitable[Client]]] | None:
        """The connection and what tells whose it is; None for whom nobody knows, and who was told."""
        _keep_alive(raw)
        stream: ByteStream = raw
        if self._tls is not None:
            stream = await TLSStream.wrap(
                raw, server_side=True, ssl_context=self._tls, standard_compatible=False
            )
        frames, names = Frames(stream), names_of(stream)
        try:
            find = partial(self._of_names, names) if names else await self._of_token(frames)
            await find()
        except BrokerError as err:
            await refuse(frames, err)
            return None
        return frames, find

    async def _of_names(self, names: Sequence[str]) -> Client:
        return self._server.clients.of_certificate(names)

    async def _of_token(self, frames: Frames) -> Callable[[], Awaitable[Client]]:
        asked = await frames.receive(most=TOKEN_BYTES)
        token = None if asked is None else asked.get("token")
        if asked is None or asked.get("do") != "token" or not isinstance(token, str):
            raise ServiceError("a connection over the network begins with a token; give one")

        async def find() -> Client:
            return self._server.clients.of_token(await self._token_of(token))

        return find


def names_of(stream: ByteStream) -> list[str]:
    """What a peer's verified certificate says it is: DNS names and URIs, and its digest."""
    binary = _attribute(stream, TLSAttribute.peer_certificate_binary)
    if not binary:
        return []
    certificate = _attribute(stream, TLSAttribute.peer_certificate) or {}
    pairs = dict(certificate).get("subjectAltName", ())
    names = [value for kind, value in pairs if kind in {"DNS", "URI"}]
    return [*names, f"sha256:{hashlib.sha256(binary).hexdigest()}"]


def _keep_alive(stream: SocketStream) -> None:
    """Finds out about a peer whose machine is gone without a word, within two minutes."""
    raw: socket.socket = _attribute(stream, SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _address(stream: SocketStream) -> str:
    return str(_attribute(stream, SocketAttribute.remote_address))


def _attribute(stream: ByteStream, name: Any) -> Any:
    return stream.extra(name, None)  # noqa: S610 - of anyio, no database
