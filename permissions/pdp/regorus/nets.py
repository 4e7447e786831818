"""OPA's `net.cidr_*`: IPv4-mapped addresses are IPv4, and a leading zero is no number."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_URI = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?"
    r"(?://(?P<hostname>[A-Za-z0-9._~-]*)(?::(?P<port>[0-9]*))?(?=/|\?|#|$))?"
    r"(?P<path>[A-Za-z0-9._~/@!$&'()*+,;=-]*)"
    r"(?:\?(?P<raw_query>[A-Za-z0-9._~/?@!$&'()*+,;=:%-]*))?"
    r"(?:#(?P<fragment>[A-Za-z0-9._~/?@!$&'()*+,;=:-]*))?"
)


def _network(text: str) -> _Network:
    address, slash, prefix = text.partition("/")
    if not slash or not prefix.isascii() or not prefix.isdigit():
        raise ValueError("not an address block")
    network = ipaddress.ip_network(
        (_address(address, keep_mapped=True), int(prefix)), strict=False
    )
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _address(
    text: str, *, keep_mapped: bool = False
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if "%" in text:
        raise ValueError("an address with a zone")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and not keep_mapped:
        return address.ipv4_mapped or address
    return address


def _block(text: str) -> _Network:
    return _network(text) if "/" in text else ipaddress.ip_network(_address(text))


def _cidr_contains(outer: str, inner: str) -> bool:
    block, other = _network(outer), _block(inner)
    return block.version == other.version and other.subnet_of(block)  # type: ignore[arg-type]


def _cidr_intersects(one: str, other: str) -> bool:
    first, second = _network(one), _network(other)
    return first.version == second.version and first.overlaps(second)


def _cidr_is_valid(text: str) -> bool:
    try:
        _network(text)
    except ValueError:
        return False
    return True


def _cidr_merge(blocks: Any) -> set[str]:
    if not isinstance(blocks, (list, set)) or not all("/" in block for block in blocks):
        raise TypeError("blocks are an array or a set of texts with a prefix length")
    networks = [_network(block) for block in blocks]
    if len({network.version for network in networks}) > 1:
        raise ValueError("IPv4 beside IPv6 is not agreed on")
    return {str(network) for network in ipaddress.collapse_addresses(networks)}  # type: ignore[type-var]


def _contains_matches(outer: Any, inner: Any) -> set[tuple[Any, Any]]:
    return {
        (index, other)
        for index, block in _indexed(outer)
        for other, address in _indexed(inner)
        if _cidr_contains(block, address)
    }


def _indexed(blocks: Any) -> Iterator[tuple[Any, str]]:
    if isinstance(blocks, str):
        yield blocks, blocks
    elif isinstance(blocks, list):
        yield from ((at, _first(block)) for at, block in enumerate(blocks))
    elif isinstance(blocks, set):
        yield from ((block, _first(block)) for block in blocks)
    elif isinstance(blocks, dict):
        yield from ((key, _first(block)) for key, block in blocks.items())
    else:
        raise TypeError("no blocks")


def _first(block: Any) -> str:
    found = block[0] if isinstance(block, list) else block
    if not isinstance(found, str):
        raise TypeError("a block is a text, or an array that begins with one")
    return found


def _uri_parse(text: str) -> dict[str, str]:
    """`uri.parse`, of URIs without escapes, user, or an address in brackets."""
    found = _URI.fullmatch(text)
    if found is None:
        raise ValueError("a URI that is not agreed on")
    parts = {name: value for name, value in found.groupdict().items() if value}
    if "scheme" in parts:
        parts["scheme"] = parts["scheme"].lower()
    path = parts.get("path", "")
    if "scheme" in parts and found["hostname"] is None and not path.startswith("/"):
        raise ValueError("a URI that is not agreed on")
    if found["hostname"] is None and path.startswith("//"):
        raise ValueError("a URI that is not agreed on")
    return parts | {"raw_path": path} if path else parts


def _uri_is_valid(text: Any) -> bool:
    """`uri.is_valid`, of what `uri.parse` takes here; all else is refused."""
    return isinstance(text, str) and text != "" and _uri_parse(text) is not None


NETS: Mapping[str, tuple[int, Any]] = {
    "net.cidr_contains": (2, _cidr_contains),
    "net.cidr_contains_matches": (2, _contains_matches),
    "net.cidr_intersects": (2, _cidr_intersects),
    "net.cidr_is_valid": (1, _cidr_is_valid),
    "net.cidr_merge": (1, _cidr_merge),
    "uri.is_valid": (1, _uri_is_valid),
    "uri.parse": (1, _uri_parse),
}
"""Arity and function per builtin."""
