"""The wire between the proxy process and its parent: length-prefixed JSON objects.

The proxy is the part that hostile code can talk to, so the parent reads what it says as
hostile input: bounded, an object, of the expected members and types.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from anyio.abc import UNIXSocketStream

MAX_MESSAGE = 1024 * 1024
SEND_SECONDS = 2.0
"""For the other end to take a message: neither end has better to do than to read."""
_LENGTH = struct.Struct(">I")


class ControlError(Exception):
    """The other end said something this protocol does not have."""


class Control:
    """Whole messages over one end of a socket pair."""

    def __init__(self, stream: UNIXSocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._sending = anyio.Lock()

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other end is gone.

        Raises:
            ControlError: it is too long, or no JSON object.
        """
        while True:
            if len(self._buffer) >= _LENGTH.size:
                (size,) = _LENGTH.unpack_from(self._buffer)
                if size > MAX_MESSAGE:
                    raise ControlError("a message is too long")
                end = _LENGTH.size + size
                if len(self._buffer) >= end:
                    text = bytes(self._buffer[_LENGTH.size : end])
                    del self._buffer[:end]
                    return _parsed(text)
            try:
                self._buffer += await self._stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return None

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a message whole; one to an end that is gone is dropped.

        Raises:
            ControlError: the other end takes nothing. A part of the message may be on its way,
                so nothing can follow it.
        """
        text = json.dumps(message, separators=(",", ":")).encode("ascii")
        async with self._sending:
            # A message cut off by cancellation would garble all that follow.
            with anyio.move_on_after(SEND_SECONDS, shield=True):
                try:
                    await self._stream.send(_LENGTH.pack(len(text)) + text)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return
                return
        raise ControlError("the other end takes no messages")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ControlError("a message is not JSON") from err
    if not isinstance(message, dict):
        raise ControlError("a message is no object")
    return message
