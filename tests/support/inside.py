"""What the inside of a sandbox says to its proxy, said from a test."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.streams.tls import TLSStream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import ByteStream, UNIXSocketStream

ANSWER_SECONDS = 20


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[UNIXSocketStream]:
    """A connection to the proxy whose socket is in `folder`."""
    number = os.open(folder, os.O_PATH)
    try:
        # Through the descriptor: from outside the path is too long for a socket.
        stream = await anyio.connect_unix(f"/proc/self/fd/{number}/proxy")
    finally:
        os.close(number)
    async with stream:
        yield stream


async def rest_of(stream: ByteStream) -> bytes:
    """All that still comes."""
    data = b""
    with anyio.fail_after(ANSWER_SECONDS):
        try:
            while True:
                data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return data


async def say(folder: Path, data: bytes) -> bytes:
    """The whole answer to `data` on a connection of its own."""
    async with connected(folder) as stream:
        try:
            await stream.send(data)
        except anyio.BrokenResourceError:
            return b""
        return await rest_of(stream)


def get(url: str, *lines: str, method: str = "GET", body: str = "") -> bytes:
    """A request as a client writes it to a proxy."""
    host = url.removeprefix("http://").partition("/")[0]
    head = [f"{method} {url} HTTP/1.1", f"Host: {host}", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


async def tunnel(
    stream: UNIXSocketStream, authority: str, *, name: str | None, context: ssl.SSLContext
) -> TLSStream:
    """CONNECTs and shakes hands as `name`."""
    await stream.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    answer = await stream.receive()
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ConnectionRefusedError(answer.decode())
    with anyio.fail_after(ANSWER_SECONDS):
        return await TLSStream.wrap(
            stream,
            server_side=False,
            hostname=name,
            ssl_context=context,
            standard_compatible=False,
        )
