"""Cases 52 to 65: egress. The host listens, and counts who came."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.probes.fixtures import NotTriedError
from sandbox.probes.table import blocked_unless, opened, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.probes.fixtures import Ground
    from sandbox.probes.table import Outcome

NO_PROXY = 'no allowlist exists: `network` is "none", and there is no proxy to attack'
METADATA = ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
PRIVATE = ("10.0.0.1", "172.16.0.1", "192.168.0.1", "192.168.65.2")
PUBLIC = ("198.51.100.1", "203.0.113.1", "2001:db8::1")
"""Addresses of documentation (RFC 5737, RFC 3849): a route to them is one to everywhere, and
where isolation is missing nobody else is bothered."""
SOCKETS = (
    *("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"),
    *("/run/podman/podman.sock", "/run/crio/crio.sock", "/run/systemd/private"),
    *("/run/dbus/system_bus_socket", "/run/snapd.socket", "\0/tmp/.X11-unix/X0"),
)


@contextmanager
def listening(family: int, address: object) -> Iterator[socket.socket]:
    """A listener of the host that nobody inside may reach."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
        listener.bind(address)  # type: ignore[arg-type]  # one form per family
        listener.listen()
        yield listener


def visited(listener: socket.socket) -> bool:
    """True when somebody connected."""
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def _ways(ground: Ground, hosts: tuple[str, ...], *ports: int) -> list[object]:
    """What leads from a job to these addresses: answers, routes, or the host's own network.

    An address that does not answer says nothing where the host has no route to it either; the
    namespace and its routes say it everywhere.
    """
    seen = await ground.value(
        "abuse:network",
        addresses=[(host, port) for host in hosts for port in ports],
        seconds=0.3,
    )
    if "lo" not in seen["interfaces"]:
        raise NotTriedError(f"not even its own interface is seen: {seen!r:.200}")
    found = [*seen["reached"], *seen["routes"]]
    if seen["namespace"] == str(Path("/proc/self/ns/net").readlink()):  # noqa: ASYNC240 - procfs
        found.append("it is in the host's network")
    return found


@probe(
    52,
    "The network, by default",
    "a loopback interface, no route, no names",
    without="a network of its own",
)
async def no_network(ground: Ground) -> Outcome:
    """Interfaces, routes, names."""
    seen = await ground.value("abuse:interfaces")
    names, seconds = await ground.value("abuse:resolve", names=["example.com", "localhost."])
    found = [name for name in seen if name != "lo"] + await _ways(ground, PUBLIC, 443)
    found += [name for name in names if not name.startswith("localhost")]
    found += [f"{seconds:.1f} s to fail"] if seconds > 2 else []
    return blocked_unless(found, "only lo, and names fail at once")


@probe(
    53, "Cloud metadata addresses, private ranges", "no route", without="a network of its own"
)
async def metadata(ground: Ground) -> Outcome:
    """Four providers, and what a company's inside may be."""
    hosts = (*METADATA, *PRIVATE)
    return blocked_unless(await _ways(ground, hosts, 80), f"{len(hosts)} addresses")


@probe(
    54,
    "The host's loopback and own addresses",
    "no route; nobody came",
    without="a network of its own",
)
async def host_addresses(ground: Ground) -> Outcome:
    """A listener on every address of the host counts."""
    with listening(socket.AF_INET, ("0.0.0.0", 0)) as listener:  # noqa: S104 - to be reached where isolation is missing
        port = listener.getsockname()[1]
        routes = await _ways(ground, ("127.0.0.1", *_own_addresses()), port)
        names = ["host.docker.internal", "gateway.docker.internal", "host.containers.internal"]
        resolved = (await ground.value("abuse:resolve", names=names))[0]
        came = visited(listener)
    return blocked_unless(
        [*routes, *resolved, *(["the host's listener was reached"] if came else [])],
        "nobody came to the host's listener",
    )


def _own_addresses() -> set[str]:
    """Addresses of this host: the outward one, and the bridge's. No packet is sent."""
    found = set()
    for target in (PUBLIC[0], "172.17.0.2"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            if end.connect_ex((target, 53)) == 0:
                found.add(str(end.getsockname()[0]))
    return found


@probe(
    55,
    "Sockets of daemons, any unix socket of the host",
    "absent; nobody came",
    without="a view without the host's files",
)
async def unix_sockets(ground: Ground) -> Outcome:
    """By path and by abstract name."""
    path = str(ground.folder / f"socket-{secrets.token_hex(4)}")
    name = f"\0wardline-{secrets.token_hex(6)}"
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(listening(socket.AF_UNIX, entry)) for entry in (path, name)
        ]
        (ground.folder / path).chmod(0o777)
        found = await ground.value("attempts:unix_sockets", paths=[*SOCKETS, path, name])
        came = [listener for listener in listeners if visited(listener)]
    return blocked_unless(found or came, f"{len(SOCKETS) + 2} sockets")


@probe(58, "Exfiltration by name lookup", "no lookup leaves", without="a network of its own")
async def lookups(ground: Ground) -> Outcome:
    """By the resolver, and by datagrams to well-known resolvers."""
    name = f"{secrets.token_hex(8)}.example.com"
    names, seconds = await ground.value("abuse:resolve", names=[name])
    routes = await _ways(ground, (*PUBLIC, "127.0.0.53", "127.0.0.11"), 53)
    slow = [f"{seconds:.1f} s to fail"] if seconds > 2 else []
    return blocked_unless([*names, *routes, *slow], "no resolver, no route to one")


@probe(60, "IPv6, UDP, QUIC, ICMP, other ports", "no route", without="a network of its own")
async def other_protocols(ground: Ground) -> Outcome:
    """TCP and UDP to ports of each kind; a ping."""
    routes = await _ways(ground, PUBLIC, 22, 443, 853, 8080)
    echo = await ground.value("abuse:ping", host=PUBLIC[0])
    return blocked_unless([*routes, *(["ping"] if echo == "sent" else [])], f"ping: {echo}")


@probe(
    61,
    "Ignore or unset the proxy's variables",
    "there is no other way to the network",
    without="a network of its own",
)
async def no_proxy(ground: Ground) -> Outcome:
    """A direct connection needs no variable."""
    variables = (await ground.value("attempts:environment"))["own"]
    routes = await _ways(ground, PUBLIC, 80, 3128)
    told = [name for name in variables if "proxy" in name.lower()]
    return blocked_unless([*routes, *told], "no route and no proxy")


@probe(
    63,
    "A call without network from a sandbox kept for another",
    "its own profile holds",
    without="limits that are the profile's own",
)
async def kept_for_another(ground: Ground) -> Outcome:
    """Profiles in turn; each run's record and limits are its own."""
    for _ in range(2):
        for most in (64, 96):
            profile = ground.profile(open_files=most)
            result = await ground.done("attempts:identity", profile)
            if result.enforced["profile"] != profile.digest:
                return opened("a run had the limits of another profile")
            if result.value["nofile"] != [most, most]:
                return opened(f"{result.value['nofile']} descriptors under a limit of {most}")
    return blocked_unless(
        [name for name in await ground.value("abuse:interfaces") if name != "lo"],
        "each run had its own limits",
    )
