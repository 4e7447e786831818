"""The connection to an MCP server by streamable HTTP.

A credential is a handle whose value is put into the header here, at the edge: no tool, policy or
record sees it, and nothing of what clients of the gateway authenticate with is passed on. A
redirect is followed within the server's own origin only, which is the library's doing.

Not protected from: a server that sends the credential back in an answer.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from permissions.gateway.lines import MAX_MESSAGE
from permissions.setup.sandboxes import secret_value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp.client._transport import TransportStreams

    from permissions.setup.config import BrokerConfig, UpstreamConfig

CONNECT_SECONDS = 30.0
STREAM_SECONDS = 300.0
"""Between two pieces of an answer: a server may hold a stream open."""


@asynccontextmanager
async def remote_messages(
    config: BrokerConfig, server: UpstreamConfig
) -> AsyncIterator[TransportStreams]:
    """Connects, and gives the streams that the protocol's client wants.

    Raises:
        ConfigError: the handle has no value.
    """
    headers = {}
    if server.secret is not None:
        value = secret_value(config, server.secret)
        headers[server.secret_header] = f"{server.secret_prefix}{value}"
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=STREAM_SECONDS)
    transport = _Bounded(httpx2.AsyncHTTPTransport())
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport) as client,
        streamable_http_client(
            server.url, http_client=client, max_sse_event_size=MAX_MESSAGE
        ) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncBaseTransport):
    """Ends an answer that is one message and too long; the library bounds those in streams."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
        if not is_stream and isinstance(answer.stream, httpx2.AsyncByteStream):
            answer.stream = _Counted(answer.stream)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    """A body of at most `MAX_MESSAGE` bytes."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._inner:
            size += len(part)
            if size > MAX_MESSAGE:
                raise httpx2.ReadError(f"an answer of over {MAX_MESSAGE} bytes")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
