"""A URL or a host as a target, and what kind of address it names."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from permissions.tools.targets.base import TargetError, plain_text

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class HostArg:
    """A URL, or a bare `host[:port]`, that the tool connects to."""

    kind = "host"
    control = True

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """Host in lower-case ASCII (IDNA), numeric forms classified, odd forms refused."""
        text = plain_text(value, "a URL or host", 2048)
        if re.search(r"[\s\\]", text):
            raise TargetError("holds white space or a backslash, which no URL may")
        has_scheme = "://" in text
        try:
            parts = urlsplit(text if has_scheme else f"//{text}")
            port = parts.port
        except ValueError as err:
            raise TargetError("is not a well-formed URL") from err
        scheme = parts.scheme.lower() or None
        if has_scheme and scheme not in {"http", "https", "ws", "wss"}:
            raise TargetError("has a scheme other than http, https, ws or wss")
        if parts.username is not None or parts.password is not None:
            raise TargetError("carries a user name or password before the host")
        if not parts.hostname:
            raise TargetError("names no host")
        if not has_scheme and parts.netloc.endswith(":"):
            raise TargetError("could be read as a scheme without a host (file:, http:/...)")
        host, address_class = read_host(parts.hostname)
        default = {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(scheme or "")
        return {
            "scheme": scheme,
            "host": host,
            "port": port if port is not None else default,
            "path": (parts.path or "/") if has_scheme else None,
            "address_class": address_class,
        }

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind}


_METADATA = {"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"}


def read_host(host: str) -> tuple[str, str | None]:
    """The host as every client reads it, and the class of its address if it is one.

    Raises:
        TargetError: clients would read it differently, or it is no valid name.
    """
    name = _ascii_name(host.lower().removesuffix("."))
    if address := _address(name):
        return str(address), _address_class(address)
    # Everything an old resolver would read as a number (127.1, 0x7f000001, 2130706433).
    if re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*", name):
        raise TargetError("is a numeric host in a form other than a plain IP address")
    if len(name) > 253 or not all(
        re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", label)
        for label in name.split(".")
    ):
        raise TargetError("holds a host that is not a valid name")
    if name == "localhost" or name.endswith(".localhost"):
        return name, "loopback"
    return name, None


def _ascii_name(name: str) -> str:
    """The name in ASCII (IDNA, RFC 3490), if every client would read it as the same name.

    Full-width digits, a circled letter or a sharp s mean one host to one client and another
    host, or an address, to the next.
    """
    if name.isascii():
        return name
    try:
        ascii_name = name.encode("idna").decode("ascii")
        readable = ascii_name.encode("ascii").decode("idna")
    except UnicodeError as err:
        raise TargetError("holds a host that is not a valid name") from err
    if readable != name:
        raise TargetError("holds a host that clients read differently; write it in ASCII")
    return ascii_name


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _address_class(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)):
        return _address_class(inner)
    if str(address) in _METADATA:
        return "metadata"
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    if address.is_link_local:
        return "link_local"
    if address.is_multicast or address.is_reserved:
        return "reserved"
    return "global" if address.is_global else "private"


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address a 6to4 (RFC 3056) or NAT64 (RFC 6052) gateway would go on to."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour
