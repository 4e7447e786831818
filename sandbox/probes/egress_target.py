"""The outside of a sandbox with egress: an allowed host that keeps what it was sent, and words for a proxy."""

from __future__ import annotations

import os
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import SocketAttribute

from sandbox.egress import EgressRule
from sandbox.egress.sandbox import EgressSandbox
from sandbox.egress.secrets import MemorySecrets
from sandbox.probes.fixtures import inside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import ByteStream, SocketStream

    from sandbox.egress import Egress
    from sandbox.probes.fixtures import Ground
    from sandbox.result import ExecResult

HOST = "api.example"
HERE = "127.0.0.1"
HANDLE = "secret://probe"
SECONDS = 2.0


@dataclass(slots=True)
class Landing:
    """The allowed host: what each connection to it brought."""

    port: int
    visits: list[bytearray] = field(default_factory=list)

    @property
    def requests(self) -> list[str]:
        """First line of each visit."""
        return [seen.partition(b"\r\n")[0].decode("latin-1") for seen in self.visits]


@asynccontextmanager
async def landing() -> AsyncIterator[Landing]:
    """A listener on loopback that answers plain requests and keeps what it was sent."""
    listener = await anyio.create_tcp_listener(local_host=HERE)
    port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, not Django's
    landed = Landing(port)

    async def serve(stream: SocketStream) -> None:
        seen = bytearray()
        landed.visits.append(seen)
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while b"\r\n\r\n" not in seen:
                    seen += await stream.receive()
                await stream.send(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                )

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield landed
        group.cancel_scope.cancel()


def hello(name: str) -> bytes:
    """The first bytes of TLS to a host of that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def get(url: str, *, method: str = "GET", host: str = "") -> bytes:
    """A request as a client writes it to a proxy."""
    authority = host or url.removeprefix("http://").partition("/")[0]
    return f"{method} {url} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("latin-1")


def connect(authority: str) -> bytes:
    """What a client says to get a tunnel."""
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("latin-1")


def rule(port: int, **given: Any) -> EgressRule:
    """The allowed host, found on loopback."""
    return EgressRule(host=HOST, ports=(port,), unsafe_address=HERE, **given)


async def talk(
    ground: Ground,
    egress: Egress,
    *messages: bytes | tuple[bytes, ...],
) -> ExecResult:
    """Says each message to the proxy on a connection of its own, from inside; gives the answers.

    The parts of a tuple follow one another, each after an answer.
    """
    spoken = [
        [part.hex() for part in ((message,) if isinstance(message, bytes) else message)]
        for message in messages
    ]
    store = MemorySecrets({HANDLE: ground.canary.encode()})
    job = inside("abuse:talk", messages=spoken, seconds=SECONDS)
    profile = ground.profile(network=egress, wall_seconds=25)
    result = await EgressSandbox(ground.sandbox, secrets=store).run(job, profile)
    if result.verdict != "ok":
        raise RuntimeError(f"ended as {result.verdict}: {result.error or result.stderr!r}")
    return result


@asynccontextmanager
async def at_the_proxy(folder: Path) -> AsyncIterator[ByteStream]:
    """A connection to a proxy's socket; through a descriptor, as its path is too long."""
    number = os.open(folder, os.O_PATH)
    try:
        stream = await anyio.connect_unix(f"/proc/self/fd/{number}/proxy")
    finally:
        os.close(number)
    async with stream:
        yield stream
