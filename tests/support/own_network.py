"""A network of its own with one public address on it: run by `test_dial` below `unshare`."""

# ruff: noqa: T201 - what it prints is its answer
from __future__ import annotations

import socket
import subprocess
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio

from sandbox.egress.dial import DialError, dial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.network.addresses import Address

PUBLIC = "8.8.4.4"


class Rebinding:
    """A resolver that gives a public address first, and this machine's loopback ever after."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, host: str) -> Sequence[Address]:  # noqa: ARG002
        self.asked += 1
        return [ip_address(PUBLIC if self.asked == 1 else "127.0.0.1")]


async def main() -> None:
    """Dials a rebinding name twice and prints what came of it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", f"{PUBLIC}/32", "dev", "lo"], check=True)
    with socket.create_server((PUBLIC, 0)) as public, socket.create_server(("", 0)) as every:
        resolver = Rebinding()
        for server in (public, every):
            try:
                await dial(resolver, "rebinding.example", server.getsockname()[1], pinned=None)
            except DialError as err:
                print(err.reason, resolver.asked)
        public.settimeout(2)
        print(public.accept()[1][0])
        every.settimeout(0)
        try:
            every.accept()
        except BlockingIOError:
            print("loopback was not dialled")


if __name__ == "__main__":
    sys.exit(anyio.run(main))
