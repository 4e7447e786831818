"""The way from a client to its daemon: a unix socket, or TCP with TLS and a token.

Over the network the daemon's certificate is verified before a token is shown. Plain TCP is for
the loopback only, and only where no authority is named.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import anyio

from permissions.errors import ConfigError, ServiceError
from permissions.service.address import connected, socket_path
from permissions.service.frames import Frames

if TYPE_CHECKING:
    from pathlib import Path

DIAL_SECONDS = 10.0
"""To connect and shake hands."""


class Dial(Protocol):
    """Connects to a daemon."""

    async def frames(self) -> Frames:
        """A connection to it, on which a session may be opened.

        Raises:
            ConfigError: what is there must not be believed.
            ServiceError: nobody answers there.
        """
        ...


@dataclass(frozen=True, slots=True)
class UnixDial:
    """Over a unix socket, where the kernel says who both ends are."""

    path: Path

    async def frames(self) -> Frames:
        """See `Dial`."""
        return Frames(await connected(self.path))


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a client of the network is known, and whom it believes.

    Attributes:
        token: its token.
        ca: certificates (PEM) of the authorities that may have signed the daemon's; the
            system's when None.
        certificate, key: its own (PEM), in the place of a token.
    """

    token: str | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class TcpDial:
    """Over TCP."""

    host: str
    port: int
    credentials: Credentials

    async def frames(self) -> Frames:
        """See `Dial`."""
        where = f"tcp://{self.host}:{self.port}"
        context = _client_context(self.credentials) if self._is_tls else None
        try:
            with anyio.fail_after(DIAL_SECONDS):
                if context is None:
                    frames = Frames(await anyio.connect_tcp(self.host, self.port))
                else:
                    frames = Frames(
                        await anyio.connect_tcp(
                            self.host,
                            self.port,
                            tls=True,
                            ssl_context=context,
                            tls_standard_compatible=False,
                        )
                    )
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as err:
            said = str(err) or type(err).__name__
            raise ServiceError(f"no broker is reached at {where}: {said[:300]}") from err
        if (token := self.credentials.token) is not None:
            await frames.send({"id": 0, "do": "token", "token": token})
        return frames

    @property
    def _is_tls(self) -> bool:
        given = self.credentials
        return (
            given.ca is not None or given.certificate is not None or not _is_loopback(self.host)
        )


def dial_of(address: str, credentials: Credentials) -> Dial:
    """The way to a daemon.

    Args:
        address: `unix:/run/wardline/broker.sock` or `tcp://broker.example:8182`.
        credentials: for the network; nobody needs any on a unix socket.

    Raises:
        ConfigError: the address is none, or neither a token nor a certificate is there for it.
    """
    if not address.startswith("tcp:"):
        return UnixDial(socket_path(address))
    try:
        found = urlsplit(address)
        host, port = found.hostname, found.port
    except ValueError:
        host = port = None
    if not host or not port or address != f"tcp://{_named(host)}:{port}":
        raise ConfigError(
            f"{address[:120]!r} is no address of a broker; it reads tcp://broker.example:8182"
        )
    if (credentials.token is None) is (credentials.certificate is None):
        raise ConfigError(
            "a broker over the network knows its clients by a token or a certificate; set one of"
            " connection.token and connection.certificate"
        )
    if (credentials.certificate is None) is not (credentials.key is None):
        raise ConfigError("connection.certificate and connection.key belong together")
    return TcpDial(host, port, credentials)


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _client_context(credentials: Credentials) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=credentials.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if credentials.certificate is not None:
            context.load_cert_chain(credentials.certificate, credentials.key)
    except (OSError, ssl.SSLError) as err:
        raise ConfigError(f"connection.ca, certificate or key cannot be used: {err}") from err
    return context
