"""One connection from inside a sandbox, from its first byte to its end.

Runs in the proxy process. Everything the job can drag out has a bound: the head's size and
time, silence in either direction, the whole connection, and the bytes of all connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio
import h11

from sandbox.egress.client_hello import MAX_HELLO, HelloError, server_name
from sandbox.egress.dial import DialError, Resolver, dial
from sandbox.egress.exchange import Exchange
from sandbox.egress.relay import (
    Budget,
    Ended,
    Line,
    Relay,
)
from sandbox.egress.requests import (
    MAX_HEAD,
    RequestError,
    cut_head,
    understand,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from anyio.abc import ByteStream

    from sandbox.egress.instruction import Instruction
    from sandbox.egress.requests import ProxyRequest
    from sandbox.network.decision import EgressRequest, EndReason

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Ask(Protocol):
    """Asks the parent about a request."""

    async def __call__(self, request: EgressRequest) -> Instruction:
        """Its instruction."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What every conversation of a proxy shares."""

    resolve: Resolver
    trust: Callable[[], ssl.SSLContext]
    budget: Budget
    idle_seconds: float


class Conversation:
    """Reads one request, asks, dials, and relays. `run` never raises for what peers do."""

    def __init__(self, client: ByteStream, means: Means, ask: Ask) -> None:
        self._means = means
        self._ask = ask
        self._client = Line(client, means.idle_seconds, side="client")
        self.reason = "egress.unread"
        self.address: str | None = None
        self.relay = Relay(means.budget)

    async def run(self) -> EndReason:
        """The whole life of the connection; how it ended."""
        try:
            await self._converse()
        except Ended as ended:
            if ended.status:
                self.reason = ended.reason
                await self._answer(ended)
            return ended.end
        return "complete"

    async def _converse(self) -> None:
        head, rest = await self._head()
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        request = self._understood(parser, head)
        instruction = await self._ask(request.asked)
        self.reason = instruction.reason
        if not instruction.permitted:
            raise Ended("refused", 403, instruction.reason)
        upstream = await self._dialled(request, instruction)
        try:
            if request.asked.kind == "connect":
                await self._tunnel(request, upstream, rest)
            else:
                if rest:
                    parser.receive_data(rest)
                exchange = Exchange(self._client, parser, self.relay, trust=self._means.trust)
                await exchange.forward(request, instruction, upstream)
        finally:
            await upstream.aclose()

    async def _head(self) -> tuple[bytes, bytes]:
        """The request's head, whole within one idle time however slowly it drips."""
        data = b""
        try:
            with anyio.fail_after(self._means.idle_seconds):
                while (cut := cut_head(data)) is None:
                    more = await self._client.receive()
                    if not more:
                        raise Ended("client" if not data else "malformed")
                    data += more
        except TimeoutError:
            raise Ended("idle", 408, "egress.head_late") from None
        except RequestError as err:
            raise Ended("malformed", 400, "egress.malformed", str(err)) from err
        return cut

    def _understood(self, parser: h11.Connection, head: bytes) -> ProxyRequest:
        try:
            parser.receive_data(head)
            event = parser.next_event()
            if not isinstance(event, h11.Request):
                raise Ended("malformed", 400, "egress.malformed", "it is no request")
            return understand(event)
        except h11.RemoteProtocolError as err:
            raise Ended("malformed", 400, "egress.malformed", "it is no HTTP request") from err
        except RequestError as err:
            raise Ended("malformed", 400, "egress.malformed", str(err)) from err

    async def _dialled(self, request: ProxyRequest, instruction: Instruction) -> Line:
        try:
            stream, self.address = await dial(
                self._means.resolve,
                request.asked.host,
                instruction.port,
                pinned=instruction.pinned,
            )
        except DialError as err:
            if err.refused:
                raise Ended("address", 403, err.reason) from err
            raise Ended("unreachable", 502, err.reason) from err
        return Line(stream, self._means.idle_seconds, side="upstream")

    async def _tunnel(self, request: ProxyRequest, upstream: Line, rest: bytes) -> None:
        await self._client.send(ESTABLISHED)
        data = rest
        try:
            with anyio.fail_after(self._means.idle_seconds):
                while (name := server_name(data)) is None:
                    more = await self._client.receive()
                    if not more or len(data) > MAX_HELLO + 4096:
                        raise Ended("client" if not data else "server_name")
                    data += more
        except TimeoutError:
            raise Ended("idle") from None
        except HelloError as err:
            self.reason = "egress.server_name"
            raise Ended("server_name") from err
        if name != request.asked.host:
            self.reason = "egress.server_name"
            raise Ended("server_name")
        await self.relay.out(upstream, data)
        await self.relay.both(self._client, upstream)

    async def _answer(self, ended: Ended) -> None:
        """Tells the job why, if it still listens and nothing of an answer was sent."""
        text = f"egress refused: {ended.reason}\n"
        if ended.detail:
            text += f"{ended.detail}\n"
        phrase = {400: "Bad Request", 403: "Forbidden", 408: "Request Timeout"}
        head = (
            f"HTTP/1.1 {ended.status} {phrase.get(ended.status, 'Bad Gateway')}\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
            "Connection: close\r\n\r\n"
        )
        try:
            await self._client.send((head + text).encode("ascii"))
        except Ended:
            return
