"""Host names and authorities, read so that no two readers could disagree about them.

The grammar is the part of RFC 3986 section 3.2 that nobody reads differently: a plain ASCII
name (RFC 1123 section 2.1, IDNs as `xn--`) and a decimal port. All else is refused rather than
repaired: user information, addresses in any form, trailing dots, percent escapes, controls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_NAME = 253
"""Octets of a name, RFC 1035 section 2.3.4 without the length bytes."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class HostError(ValueError):
    """Text that is no unambiguous host name or authority. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A host name in lower case, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it stands in a request."""
        return f"{self.host}:{self.port}"


def parse_host(text: str) -> str:
    """The name in lower case.

    Raises:
        HostError: no plain name: empty, too long, not ASCII, an address in any spelling, a
            trailing dot, or a character that no host name has.
    """
    if not text or len(text) > MAX_NAME:
        raise HostError("a host is empty or longer than 253 characters")
    # Before lower(): some letters beyond ASCII have ASCII ones as their lower case.
    if not text.isascii():
        raise HostError("a host is not ASCII; write it as xn--")
    name = text.lower()
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise HostError("a host is no plain name")
    # WHATWG URL section 3.5: a last label that is a number makes the whole an IPv4 address.
    if _NUMERIC.fullmatch(labels[-1]):
        raise HostError("a host is an address; only names can be allowed")
    return name


def parse_port(text: str) -> int:
    """A decimal port from 1 to 65535, without leading zeros.

    Raises:
        HostError: anything else.
    """
    if not text.isascii() or not _PORT.fullmatch(text) or int(text) > 65535:
        raise HostError("a port is no plain number from 1 to 65535")
    return int(text)


def parse_authority(text: str, *, default_port: int | None) -> Authority:
    """`host:port`, or `host` alone where there is a default port.

    Raises:
        HostError: as `parse_host` and `parse_port`, or the port is missing.
    """
    host, colon, port = text.partition(":")
    if not colon:
        if default_port is None:
            raise HostError("an authority has no port")
        return Authority(parse_host(host), default_port)
    return Authority(parse_host(host), parse_port(port))
