"""One plain request passed on and its answer passed back, both written anew by h11.

Nothing of the job's framing reaches the host, and nothing of the host's framing reaches the
job. In mode `https` TLS begins here, a credential is added here, and what comes back is
scrubbed of it.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import h11
from anyio import BrokenResourceError, EndOfStream, fail_after
from anyio.streams.tls import TLSStream

from sandbox.egress.relay import Ended, Line
from sandbox.egress.requests import end_to_end
from sandbox.egress.scrub import CompressedWatch, Scrubber, SecretFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.egress.instruction import Instruction
    from sandbox.egress.relay import Relay
    from sandbox.egress.requests import Headers, ProxyRequest
    from sandbox.egress.scrub import ScrubbedStream

MAX_ANSWER_HEAD = 65536

NOT_BESIDE_A_SECRET = (b"accept-encoding", b"if-range", b"range")
"""A part of an answer, or a compressed one, could hold a secret that no scrubber sees."""


class Exchange:
    """Forwards one request over its own connection to the host."""

    def __init__(
        self,
        client: Line,
        parser: h11.Connection,
        relay: Relay,
        *,
        trust: Callable[[], ssl.SSLContext],
    ) -> None:
        self._client = client
        self._inside = parser
        self._outside = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER_HEAD)
        self._relay = relay
        self._trust = trust

    async def forward(
        self, request: ProxyRequest, instruction: Instruction, upstream: Line
    ) -> None:
        """Sends the request and relays the answer.

        Raises:
            Ended: TLS failed, a side broke, or the answer may not be passed on.
        """
        if instruction.tls:
            upstream = await self._secured(request, upstream)
        await self._send_request(request, instruction, upstream)
        await self._relay_answer(upstream, Scrubber(instruction.secrets))

    async def _secured(self, request: ProxyRequest, upstream: Line) -> Line:
        try:
            with fail_after(upstream.idle_seconds):
                stream = await TLSStream.wrap(
                    upstream.stream,
                    server_side=False,
                    hostname=request.asked.host,
                    ssl_context=self._trust(),
                    standard_compatible=False,
                )
        except (ssl.SSLError, BrokenResourceError, EndOfStream, OSError) as err:
            raise Ended("upstream", 502, "egress.tls_failed") from err
        return Line(stream, upstream.idle_seconds, side="upstream")

    async def _send_request(
        self, request: ProxyRequest, instruction: Instruction, upstream: Line
    ) -> None:
        try:
            head = self._outside.send(
                h11.Request(
                    method=request.asked.method or "",
                    target=request.target,
                    headers=outgoing_headers(request, instruction),
                )
            )
        except h11.LocalProtocolError as err:
            raise Ended("malformed", 400, "egress.malformed") from err
        await self._relay.out(upstream, head or b"")
        try:
            await self._send_body(upstream)
        except Ended as ended:
            # A host may answer and hang up before it has read everything.
            if ended.end != "upstream":
                raise

    async def _send_body(self, upstream: Line) -> None:
        while True:
            try:
                event = self._inside.next_event()
            except h11.RemoteProtocolError as err:
                raise Ended("malformed", 400, "egress.malformed") from err
            if event is h11.NEED_DATA:
                if self._inside.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self._client.send(self._inside.send(go_on) or b"")
                self._inside.receive_data(await self._client.receive())
            elif isinstance(event, h11.Data):
                await self._relay.out(upstream, self._outside.send(event) or b"")
            elif isinstance(event, h11.EndOfMessage):
                last = self._outside.send(h11.EndOfMessage())
                if last:
                    await self._relay.out(upstream, last)
                return
            else:
                raise Ended("client")

    async def _relay_answer(self, upstream: Line, scrubber: Scrubber) -> None:
        stream, watch = scrubber.stream(), CompressedWatch(scrubber)
        while True:
            try:
                event = self._outside.next_event()
            except h11.RemoteProtocolError as err:
                raise self._broken("egress.answer_malformed") from err
            if event is h11.NEED_DATA:
                data = await upstream.receive()
                self._relay.came(len(data))
                self._outside.receive_data(data)
            elif isinstance(event, h11.Response):
                await self._send_head(event, scrubber)
            elif isinstance(event, h11.Data):
                try:
                    data = watch.feed(bytes(event.data))
                except SecretFoundError as err:
                    raise self._broken("egress.answer_encoded") from err
                await self._send_data(stream.feed(data))
            elif isinstance(event, h11.EndOfMessage):
                await self._send_data(stream.feed(watch.close()))
                await self._finish(stream)
                return
            elif not isinstance(event, h11.InformationalResponse):
                raise self._broken("egress.answer_missing")

    async def _send_head(self, answer: h11.Response, scrubber: Scrubber) -> None:
        headers = end_to_end(answer.headers)
        if scrubber.longest:
            codings = [
                coding.strip().lower()
                for name, value in headers
                if name == b"content-encoding"
                for coding in value.split(b",")
            ]
            if any(coding not in {b"", b"identity"} for coding in codings):
                raise self._broken("egress.answer_encoded")
            headers = [(scrubber.scrub(name), scrubber.scrub(value)) for name, value in headers]
        try:
            head = self._inside.send(
                h11.Response(
                    status_code=answer.status_code,
                    headers=[*headers, (b"connection", b"close")],
                    reason=scrubber.scrub(bytes(answer.reason)),
                )
            )
        except h11.LocalProtocolError as err:
            raise self._broken("egress.answer_malformed") from err
        await self._client.send(head or b"")

    async def _send_data(self, data: bytes) -> None:
        if data:
            await self._client.send(self._inside.send(h11.Data(data=data)) or b"")

    async def _finish(self, stream: ScrubbedStream) -> None:
        try:
            await self._send_data(stream.close())
            last = self._inside.send(h11.EndOfMessage())
        except h11.LocalProtocolError as err:
            raise self._broken("egress.answer_malformed") from err
        if last:
            await self._client.send(last)
        await self._client.send_eof()

    def _broken(self, reason: str) -> Ended:
        """The host's fault; told to the job only as long as no answer has begun."""
        begun = self._inside.our_state is not h11.SEND_RESPONSE
        return Ended("upstream", 0 if begun else 502, reason)


def outgoing_headers(request: ProxyRequest, instruction: Instruction) -> Headers:
    """The headers of the request to the host: its own Host, one framing, the credential."""
    usual = 443 if instruction.tls else 80
    host = request.asked.host.encode("ascii")
    if instruction.port != usual:
        host += b":%d" % instruction.port
    headers = [(b"host", host)]
    dropped: tuple[bytes, ...] = ()
    if instruction.secrets:
        dropped = NOT_BESIDE_A_SECRET
        headers.append((b"accept-encoding", b"identity"))
    if instruction.header is not None:
        dropped += (instruction.header[0].lower(),)
        headers.append(instruction.header)
    headers += [(name, value) for name, value in request.headers if name not in dropped]
    if request.chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    return [*headers, (b"connection", b"close")]
