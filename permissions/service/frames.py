"""Frames on a stream socket: how long (4 bytes, big-endian), then a JSON object of that length.

A frame that is too long, no JSON or no object ends the conversation: whoever sends one is no
peer of this version, and what follows cannot be told apart any more.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio
import orjson
from anyio.lowlevel import checkpoint

from permissions.errors import ServiceError

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from permissions.vocabulary import JsonObject

VERSION = 1
"""Of what is said in frames; both ends speak the same one."""

MAX_FRAME = 32 * 1024 * 1024
"""Bytes of one frame: more than a tool's arguments or result may hold."""

SEND_SECONDS = 10.0
"""For the other end to take a frame. One that does not read is gone, as far as anyone can tell."""

TOGETHER = 65_536
"""Bytes of small frames that are sent as one piece, when many tasks have something to say."""

_LENGTH = 4


class PeerGoneError(ServiceError):
    """Nobody takes what is sent any more."""


class Frames:
    """Whole frames over one connection; one task receives, any may send."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._incoming = bytearray()
        self._sending = anyio.Lock(fast_acquire=True)
        self._unsent: deque[bytes] = deque()
        self._given = 0
        self._sent = 0
        self._gone = ""

    async def receive(self, *, most: int = MAX_FRAME) -> JsonObject | None:
        """The next frame; None at the end of the stream, between two frames.

        Raises:
            ServiceError: it is cut off, longer than `most` bytes, or no JSON object.
        """
        try:
            await self._read(_LENGTH)
            length = int.from_bytes(self._incoming[:_LENGTH], "big")
            if length > most:
                raise ServiceError(f"a frame of {length} bytes is longer than {most}")
            await self._read(_LENGTH + length)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as err:
            if self._incoming:
                raise ServiceError("the connection ended within a frame") from err
            return None
        except anyio.ClosedResourceError:
            return None
        try:
            frame = orjson.loads(memoryview(self._incoming)[_LENGTH : _LENGTH + length])
        except orjson.JSONDecodeError:
            raise ServiceError("a frame is not JSON") from None
        del self._incoming[: _LENGTH + length]
        if not isinstance(frame, dict):
            raise ServiceError("a frame is not a JSON object")
        return frame

    async def _read(self, size: int) -> None:
        """Has so many bytes there, and what else came with them: the next frames, as a rule."""
        while len(self._incoming) < size:
            self._incoming += await self._stream.receive()

    async def send(self, frame: JsonObject) -> None:
        """Sends one frame whole, whoever gives up meanwhile.

        Raises:
            ServiceError: it is too long, or no JSON; nothing was sent.
            PeerGoneError: the other end is gone, or did not take it in `SEND_SECONDS`.
        """
        try:
            said = orjson.dumps(frame)
        except TypeError as err:
            raise ServiceError(f"a value cannot be sent: {err}") from err
        if len(said) > MAX_FRAME:
            raise ServiceError(f"{len(said)} bytes are more than a frame holds ({MAX_FRAME})")
        self._unsent.append(len(said).to_bytes(_LENGTH, "big") + said)
        self._given = own = self._given + 1
        with anyio.CancelScope(shield=True):
            async with self._sending:
                if self._sent < own and not self._gone:  # else it went along with another
                    await self._send_together()
                if self._gone:
                    raise PeerGoneError(self._gone)

    async def _send_together(self) -> None:
        """Sends what waits, the oldest first, as one piece of `TOGETHER` bytes or one frame."""
        # Whoever else runs in this turn of the loop may have something to say.
        await checkpoint()
        pieces = [self._unsent.popleft()]
        room = TOGETHER - len(pieces[0])
        while self._unsent and (room := room - len(self._unsent[0])) >= 0:
            pieces.append(self._unsent.popleft())
        self._sent += len(pieces)
        try:
            with anyio.fail_after(SEND_SECONDS):
                await self._stream.send(b"".join(pieces))
        except TimeoutError:
            self._gone = "the other end does not read what is sent to it"
            await self.close()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._gone = "the other end is gone"

    async def close(self) -> None:
        """Ends the connection."""
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)
