"""A proxy request, refused unless every reader reads it alike.

h11 parses (RFC 9112, RFC 9110); before it stands a strict look at the raw head and after it a
strict look at what the headers mean together, because h11 also takes what RFC 9112 lets a
lenient server take: bare LF, folded lines, a length beside a transfer coding. One connection
carries one request, so nothing can be smuggled behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.network.decision import EgressRequest
from sandbox.network.hosts import HostError, parse_authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import h11

MAX_HEAD = 16384
"""Bytes of a request's line and headers."""
MAX_HEADERS = 100

Headers = list[tuple[bytes, bytes]]

_HEAD_BYTES = re.compile(rb"[\t\x20-\x7e]*")
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20} [\x21-\x7e]+ HTTP/1\.[01]")
_FIELD_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*")

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""RFC 9110 section 7.6.1, and the older ones clients still send."""

OVERRIDES = re.compile(
    rb"expect|forwarded|front-end-https|(x-)?(host|path|uri|url|method|scheme|port)-override"
    rb"|x-(original|originating|rewrite|rewritten|forwarded|forward|http|method|override|envoy"
    rb"|proxy|real|host|path|uri|url|wap|backend|upstream|sendfile|accel)(-.*)?"
    rb"|(base|destination|proxy)-?url|x-.*-(override|rewrite|original)(-.*)?"
)
"""Answered here (`expect`), or headers by which some servers replace the method, scheme, host or
path that was decided about, or learn another sender. Dropped, by the kinds of their names."""


class RequestError(ValueError):
    """A request this proxy does not take; the message never quotes it."""


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """A request that was understood: what to decide about, and what to pass on.

    Attributes:
        target: path and query in origin form; empty for CONNECT.
        headers: end-to-end headers, without Host.
        chunked: True when the body has no length of its own.
    """

    asked: EgressRequest
    target: bytes
    headers: Headers
    chunked: bool


def cut_head(data: bytes) -> tuple[bytes, bytes] | None:
    """The head (with its empty line) and what follows it; None when more bytes are needed.

    Raises:
        RequestError: it is longer than `MAX_HEAD`, or not strictly of RFC 9112's form.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise RequestError("the head is too long")
        return None
    if end > MAX_HEAD:
        raise RequestError("the head is too long")
    first, *lines = data[:end].split(b"\r\n")
    if not _REQUEST_LINE.fullmatch(first):
        raise RequestError("the request line is malformed")
    if len(lines) > MAX_HEADERS:
        raise RequestError("there are too many headers")
    for line in lines:
        # Also what keeps bare CR, bare LF, NUL and folded lines out.
        if not _FIELD_LINE.fullmatch(line):
            raise RequestError("a header line is malformed")
    return data[: end + 4], data[end + 4 :]


def understand(request: h11.Request) -> ProxyRequest:
    """What a parsed request asks of a proxy.

    Raises:
        RequestError: it contradicts itself, repeats a header, or is none for a proxy.
    """
    headers = [(bytes(name), bytes(value)) for name, value in request.headers]
    fields = dict(headers)
    if len(fields) != len(headers):
        raise RequestError("a header stands there twice")
    if b"content-length" in fields and b"transfer-encoding" in fields:
        raise RequestError("the body has two lengths")
    if request.method == b"CONNECT":
        asked, target = _tunnel(request, fields), b""
    else:
        asked, target = _plain(request, fields)
    return ProxyRequest(
        asked,
        target,
        [
            (name, value)
            for name, value in end_to_end(headers, without=(b"host",))
            if not OVERRIDES.fullmatch(name.replace(b"_", b"-"))
        ],
        chunked=b"transfer-encoding" in fields,
    )


def _tunnel(request: h11.Request, fields: dict[bytes, bytes]) -> EgressRequest:
    if b"content-length" in fields or b"transfer-encoding" in fields:
        raise RequestError("a CONNECT has a body")
    try:
        authority = parse_authority(request.target.decode("ascii"), default_port=None)
        host = fields.get(b"host")
        if host is not None:
            named = parse_authority(host.decode("ascii"), default_port=authority.port)
            if named != authority:
                raise RequestError("the Host header is not the authority")
    except (HostError, UnicodeDecodeError) as err:
        raise RequestError(str(err)) from err
    return EgressRequest("connect", authority.host, authority.port)


def _plain(request: h11.Request, fields: dict[bytes, bytes]) -> tuple[EgressRequest, bytes]:
    if request.http_version != b"1.1":
        raise RequestError("a plain request is not HTTP/1.1")
    scheme, separator, rest = request.target.partition(b"://")
    if scheme != b"http" or not separator:
        raise RequestError("the target is no http:// URL; for https use CONNECT")
    if b"#" in rest or b"\\" in rest:
        raise RequestError("the target has a fragment or a backslash")
    authority_text, slash, tail = rest.partition(b"/")
    if b"?" in authority_text:
        raise RequestError("the target has no path")
    target = slash + tail if slash else b"/"
    try:
        authority = parse_authority(authority_text.decode("ascii"), default_port=80)
        named = parse_authority(fields.get(b"host", b"").decode("ascii"), default_port=80)
    except (HostError, UnicodeDecodeError) as err:
        raise RequestError(str(err)) from err
    if named != authority:
        raise RequestError("the Host header is not the authority")
    asked = EgressRequest(
        "http",
        authority.host,
        authority.port,
        request.method.decode("ascii"),
        target.partition(b"?")[0].decode("ascii"),
    )
    return asked, target


def end_to_end(
    headers: Iterable[tuple[bytes, bytes]], *, without: Sequence[bytes] = ()
) -> Headers:
    """The headers a proxy passes on: no hop-by-hop ones, nor those Connection names."""
    kept = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    named = {
        word.strip().lower()
        for name, value in kept
        if name == b"connection"
        for word in value.split(b",")
    }
    dropped = HOP_BY_HOP | named - {b"content-length"} | set(without)
    return [(name, value) for name, value in kept if name not in dropped]
