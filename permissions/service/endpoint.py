"""An address of the network on which the daemon listens, and what it needs to be safe there."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TlsFiles(NamedTuple):
    """A certificate chain and its key, both PEM; whoever may read the key is the daemon."""

    certificate: Path
    key: Path


class Endpoint(NamedTuple):
    """A numeric IP address and a port of TCP."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def name(self) -> str:
        """The host as it is written in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        """As it is written in an address."""
        return f"{self.name}:{self.port}"

    def require_private(self, tls: TlsFiles | None) -> None:
        """Checks that nobody on the network reads what is said there.

        Raises:
            ConfigError: it is no address of the loopback, and there is no certificate.
        """
        if tls is None and not self.is_loopback:
            raise ConfigError(
                f"{self} is reached over the network, where tokens would be read by others; set"
                " service.tls_certificate and service.tls_key, or listen on 127.0.0.1"
            )

    @contextmanager
    def bound(self) -> Iterator[socket.socket]:
        """A socket that is bound there.

        Raises:
            ConfigError: it cannot be had.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server((self.host, self.port), family=family)
        except OSError as err:
            raise ConfigError(f"{self} cannot be listened on: {err.strerror}") from err
        with listener:
            yield listener


def endpoint_of(text: str) -> Endpoint:
    """The endpoint that a text names, as `127.0.0.1:8181` or `[::1]:8181`.

    Raises:
        ConfigError: it names none.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        if colon and port.isascii() and port.isdecimal() and int(port) < 1 << 16:
            return Endpoint(str(ipaddress.ip_address(bare)), int(port))
    except ValueError:
        pass
    raise ConfigError(
        f"{text[:80]!r} is no address to listen on; it reads 127.0.0.1:8181 (an IP address)"
    )
