"""Which addresses may be dialled: global unicast, and none that leads somewhere special.

The tables follow the IANA special-purpose registries (RFC 6890 and its successors), plus the
metadata services that clouds put on addresses of their own. Fail closed: IPv6 outside of
2000::/3, the only block assigned for global unicast (RFC 4291 section 2.4), is refused as a
whole; the entries for it are there to name the reason.

What it does not protect from: a service of the network's owner on a public address. The proxy
refuses the machine's own addresses when it is connected (`sandbox.egress.dial`).
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address

GLOBAL_UNICAST = IPv6Network("2000::/3")

_TABLE: tuple[tuple[str, str, str], ...] = (
    # Exact services first: they name the danger better than the range around them.
    ("169.254.169.254/32", "metadata", "instance metadata of AWS, GCP, Azure and others"),
    ("169.254.170.2/32", "metadata", "task credentials of AWS ECS"),
    ("100.100.100.200/32", "metadata", "instance metadata of Alibaba Cloud"),
    ("168.63.129.16/32", "metadata", "Azure's platform address, public by its number"),
    ("192.0.0.192/32", "metadata", "instance metadata of Oracle Cloud"),
    ("fd00:ec2::254/128", "metadata", "instance metadata of AWS over IPv6"),
    ("fd20:ce::254/128", "metadata", "instance metadata of GCP over IPv6"),
    ("0.0.0.0/8", "this_network", "RFC 791 section 3.2; Linux dials itself"),
    ("10.0.0.0/8", "private", "RFC 1918"),
    ("100.64.0.0/10", "shared", "RFC 6598, carrier-grade NAT"),
    ("127.0.0.0/8", "loopback", "RFC 1122 section 3.2.1.3"),
    ("169.254.0.0/16", "link_local", "RFC 3927"),
    ("172.16.0.0/12", "private", "RFC 1918"),
    ("192.0.0.0/24", "reserved", "RFC 6890, protocol assignments"),
    ("192.0.2.0/24", "documentation", "RFC 5737"),
    ("192.88.99.0/24", "reserved", "RFC 7526, deprecated 6to4 relay"),
    ("192.168.0.0/16", "private", "RFC 1918"),
    ("198.18.0.0/15", "reserved", "RFC 2544, benchmarking"),
    ("198.51.100.0/24", "documentation", "RFC 5737"),
    ("203.0.113.0/24", "documentation", "RFC 5737"),
    ("224.0.0.0/4", "multicast", "RFC 5771"),
    ("240.0.0.0/4", "reserved", "RFC 1112 section 4; broadcast of RFC 919"),
    ("::/128", "this_network", "RFC 4291 section 2.5.2"),
    ("::1/128", "loopback", "RFC 4291 section 2.5.3"),
    ("::ffff:0:0/96", "embedded", "RFC 4291 section 2.5.5.2, IPv4-mapped"),
    ("::/96", "embedded", "RFC 4291 section 2.5.5.1, IPv4-compatible"),
    ("::ffff:0:0:0/96", "embedded", "RFC 2765, IPv4-translated"),
    ("64:ff9b::/96", "embedded", "RFC 6052, NAT64"),
    ("64:ff9b:1::/48", "embedded", "RFC 8215, NAT64 of the network's owner"),
    ("100::/64", "reserved", "RFC 6666, discard"),
    ("2001::/32", "embedded", "RFC 4380, Teredo"),
    ("2001::/23", "reserved", "RFC 2928, protocol assignments"),
    ("2001:db8::/32", "documentation", "RFC 3849"),
    ("2002::/16", "embedded", "RFC 3056, 6to4"),
    ("3fff::/20", "documentation", "RFC 9637"),
    ("5f00::/16", "reserved", "RFC 9602, segment routing"),
    ("fc00::/7", "private", "RFC 4193, unique local"),
    ("fe80::/10", "link_local", "RFC 4291 section 2.5.6"),
    ("fec0::/10", "private", "RFC 3879, site local"),
    ("ff00::/8", "multicast", "RFC 4291 section 2.7"),
)

REFUSED: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ip_network(network), kind) for network, kind, _ in _TABLE
)
"""Refused networks and the word for each, most telling first."""


def refusal(address: Address) -> str | None:
    """Why this address must not be dialled, as one word; None when it may be."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link_local"
    for network, kind in REFUSED:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return "reserved"
    return None


def parse_address(text: str) -> Address | None:
    """The address in `text`; None when it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None
