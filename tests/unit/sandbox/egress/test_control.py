"""The wire between the proxy and its parent: an end that does not read holds nobody up."""

from __future__ import annotations

import socket

import anyio
import pytest
from anyio.abc import UNIXSocketStream

from sandbox.egress.control import Control, ControlError

pytestmark = pytest.mark.both_backends


async def test_an_end_that_takes_nothing_is_given_up() -> None:
    """A proxy that was taken over could keep a finished call from ever returning."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the socket module's signature
    with theirs:
        stream = await UNIXSocketStream.from_socket(ours)
        with anyio.fail_after(20), pytest.raises(ControlError):
            await _fill(Control(stream))
        await anyio.aclose_forcefully(stream)


async def _fill(control: Control) -> None:
    for _ in range(1000):
        await control.send({"answer": "x" * 65536})


async def test_one_to_an_end_that_is_gone_is_dropped() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the socket module's signature
    theirs.close()
    stream = await UNIXSocketStream.from_socket(ours)

    await Control(stream).send({"leave": True})
    await stream.aclose()
