"""The server name in a TLS ClientHello, read strictly and within bounds.

RFC 8446 sections 4.1.2 and 5.1 for the message and its records, RFC 6066 section 3 for the
name. Every length has to fit exactly; what a lenient server might still accept is refused.
Encrypted ClientHello (RFC 9849) is refused as well: behind it stands a second name nobody
here can see.
"""

from __future__ import annotations

from sandbox.network.hosts import HostError, parse_host

MAX_HELLO = 16384
"""Bytes of a ClientHello: one record's worth, RFC 8446 section 5.1."""

HANDSHAKE, CLIENT_HELLO = 22, 1
SERVER_NAME, HOST_NAME = 0, 0
ENCRYPTED_CLIENT_HELLO = 0xFE0D


class HelloError(ValueError):
    """Bytes that are no ClientHello with exactly one plain server name."""


class _Reader:
    """Takes integers and vectors off a byte string, never past its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise HelloError("a length in the ClientHello goes past its end")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> _Reader:
        """The vector whose length is in the next `size` bytes."""
        return _Reader(self.take(self.number(size)))

    @property
    def is_empty(self) -> bool:
        return self._at == len(self._data)

    def close(self) -> None:
        if not self.is_empty:
            raise HelloError("the ClientHello has bytes that belong to nothing")


def server_name(data: bytes) -> str | None:
    """The server name of the ClientHello at the start of `data`.

    None when more bytes are needed; at most `MAX_HELLO` are ever asked for.

    Raises:
        HelloError: no ClientHello, malformed, too long, encrypted, or without one plain name.
    """
    message = _handshake(data)
    return None if message is None else _name(message)


def _handshake(data: bytes) -> bytes | None:
    """The first handshake message, put together from its records; None when incomplete."""
    message = b""
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        head, data = data[:5], data[5:]
        if head and head[0] != HANDSHAKE:
            raise HelloError("the tunnel does not begin with a TLS handshake")
        if len(head) > 1 and head[1] != 3:
            raise HelloError("the handshake is of no known TLS version")
        if len(head) < 5:
            return None
        size = int.from_bytes(head[3:5], "big")
        if not 0 < size <= MAX_HELLO or len(message) + size > MAX_HELLO:
            raise HelloError("the ClientHello is empty or too long")
        message += data[:size]
        if message and message[0] != CLIENT_HELLO:
            raise HelloError("the first handshake message is no ClientHello")
        if len(message) >= 4 and int.from_bytes(message[1:4], "big") > MAX_HELLO:
            raise HelloError("the ClientHello is empty or too long")
        if len(data) < size:
            return None
        data = data[size:]
    if len(message) != 4 + int.from_bytes(message[1:4], "big"):
        raise HelloError("something follows the ClientHello in its record")
    return message[4:]


def _name(body: bytes) -> str:
    hello = _Reader(body)
    if hello.number(2) >> 8 != 3:
        raise HelloError("the ClientHello is of no known TLS version")
    hello.take(32)  # random
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    if hello.is_empty:
        raise HelloError("the ClientHello has no server name")
    extensions = hello.vector(2)
    hello.close()
    seen: dict[int, _Reader] = {}
    while not extensions.is_empty:
        kind = extensions.number(2)
        if kind in seen:
            raise HelloError("the ClientHello has an extension twice")
        seen[kind] = extensions.vector(2)
    if ENCRYPTED_CLIENT_HELLO in seen:
        raise HelloError("the ClientHello hides its server name (ECH)")
    if SERVER_NAME not in seen:
        raise HelloError("the ClientHello has no server name")
    return _host_name(seen[SERVER_NAME])


def _host_name(extension: _Reader) -> str:
    names = extension.vector(2)
    extension.close()
    if names.number(1) != HOST_NAME:
        raise HelloError("the ClientHello names no host")
    text = names.vector(2)
    names.close()
    try:
        return parse_host(text._data.decode("ascii"))  # noqa: SLF001 - the rest of the module
    except (HostError, UnicodeDecodeError) as err:
        raise HelloError("the server name is no plain host name") from err
