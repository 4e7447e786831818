"""From a permitted host to a connected stream: the address that was checked is the one dialled.

A name is looked up once per connection, here, and only after it was permitted. What comes back
is checked address by address, then dialled as an address, so a name server that answers
differently the next time changes nothing (DNS rebinding).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio.abc import SocketAttribute

from sandbox.network.addresses import Address, parse_address, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import SocketStream

ATTEMPTS = 4
"""Addresses of one name that are tried."""
CONNECT_SECONDS = 5.0
LOOKUP_SECONDS = 10.0


class DialError(Exception):
    """No connection; `end` is `address` when the guard refused, else `unreachable`."""

    def __init__(self, *, refused: bool, reason: str) -> None:
        self.refused = refused
        self.reason = reason
        super().__init__(reason)


class Resolver(Protocol):
    """Looks a name up."""

    async def __call__(self, host: str) -> Sequence[Address]:
        """The addresses of `host`, best first; none when it has none.

        Raises:
            OSError: the lookup failed.
        """
        ...


async def system_resolver(host: str) -> Sequence[Address]:
    """A `Resolver`: the machine's own name service, without its search domains."""
    name = f"{host}." if "." in host else host
    found = await anyio.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [address for entry in found if (address := parse_address(entry[4][0]))]


async def dial(
    resolve: Resolver, host: str, port: int, *, pinned: str | None
) -> tuple[SocketStream, str]:
    """A connection to `host`, and the address it goes to.

    Args:
        resolve: looks names up.
        host: permitted, in lower case.
        port: of the host.
        pinned: a rule's `unsafe_address`, dialled without lookup or check.

    Raises:
        DialError: no address may be dialled, or none answers.
    """
    if pinned is not None:
        return await _connect(pinned, port), pinned
    for address in await _permitted(resolve, host):
        try:
            stream = await _connect(str(address), port)
        except DialError:
            continue
        if _is_this_machine(stream):
            await stream.aclose()
            raise DialError(refused=True, reason="egress.address_own")
        return stream, str(address)
    raise DialError(refused=False, reason="egress.unreachable")


async def _permitted(resolve: Resolver, host: str) -> list[Address]:
    try:
        with anyio.fail_after(LOOKUP_SECONDS):
            found = await resolve(host)
    except (OSError, TimeoutError, UnicodeError) as err:
        raise DialError(refused=False, reason="egress.unresolved") from err
    if not found:
        raise DialError(refused=False, reason="egress.unresolved")
    permitted = [address for address in found if refusal(address) is None]
    if not permitted:
        raise DialError(refused=True, reason=f"egress.address_{refusal(found[0])}")
    return list(dict.fromkeys(permitted))[:ATTEMPTS]


async def _connect(address: str, port: int) -> SocketStream:
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            return await anyio.connect_tcp(address, port)
    except (OSError, TimeoutError) as err:
        raise DialError(refused=False, reason="egress.unreachable") from err


def _is_this_machine(stream: SocketStream) -> bool:
    """Whether the connection came back to this machine by one of its public addresses."""
    here = stream.extra(SocketAttribute.local_address)  # noqa: S610 - not Django
    there = stream.extra(SocketAttribute.remote_address)  # noqa: S610 - not Django
    return here[0] == there[0]
