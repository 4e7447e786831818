"""What is dialled is what was checked, once, and never this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from sandbox.egress.dial import DialError, dial

SUPPORT = Path(__file__).parents[3] / "support"


class Answering:
    """A resolver with one answer."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = [ip_address(address) for address in addresses]
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list:  # type: ignore[type-arg]
        self.asked.append(host)
        return self.addresses


class Unknown:
    """A resolver that knows no name."""

    async def __call__(self, host: str) -> list:  # type: ignore[type-arg]
        raise OSError(host)


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["127.0.0.1"], "egress.address_loopback"),
        (["169.254.169.254"], "egress.address_metadata"),
        (["10.0.0.1", "fe80::1"], "egress.address_private"),
        (["::ffff:8.8.8.8"], "egress.address_embedded"),
        (["64:ff9b::7f00:1"], "egress.address_embedded"),
    ],
)
async def test_a_name_of_forbidden_addresses_is_not_dialled(
    addresses: list[str], reason: str
) -> None:
    resolver = Answering(*addresses)

    with pytest.raises(DialError) as refused:
        await dial(resolver, "rebinding.example", 80, pinned=None)

    assert refused.value.refused
    assert refused.value.reason == reason
    assert resolver.asked == ["rebinding.example"]


@pytest.mark.parametrize("resolver", [Answering(), Unknown()], ids=["nothing", "unknown"])
async def test_a_name_without_an_address_is_unresolved(resolver: Answering | Unknown) -> None:
    with pytest.raises(DialError) as refused:
        await dial(resolver, "nowhere.example", 80, pinned=None)

    assert refused.value.reason == "egress.unresolved"
    assert not refused.value.refused


@pytest.mark.bwrap
def test_the_checked_address_is_the_one_dialled() -> None:
    """A name server that changes its mind after the check changes nothing (DNS rebinding).

    In a network of its own that has a public address: the first dial reaches exactly that, is
    found to have come back to this machine, and is broken off; the second is refused unseen.
    """
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("needs iproute2 and unshare")
    argv = ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--map-root-user"])

    done = subprocess.run(
        [*argv, sys.executable, str(SUPPORT / "own_network.py")],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )

    assert done.stdout.splitlines() == [
        "egress.address_own 1",
        "egress.address_loopback 2",
        "8.8.4.4",
        "loopback was not dialled",
    ]
