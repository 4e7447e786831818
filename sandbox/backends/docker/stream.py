"""The engine's attach stream (Docker Engine API, "Stream format") as a channel.

Each piece has an 8-byte header: 1 for stdout or 2 for stderr, three zero bytes, a 32-bit
big-endian length. stdout is the runner's channel; stderr holds its complaints about itself, of
which the last few kilobytes are kept for error messages.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sandbox.errors import FrameError

if TYPE_CHECKING:
    from sandbox.supervisor.channel import Channel

HEADER = struct.Struct(">BxxxI")
DIAGNOSTICS_BYTES = 4096


class AttachedChannel:
    """Takes the multiplexed stream apart; what is sent goes in as it is."""

    def __init__(self, inner: Channel) -> None:
        self._inner = inner
        self._head = bytearray()
        self._source = 0
        self._left = 0
        self.diagnostics = bytearray()

    async def receive(self) -> bytes:
        """See `Channel`."""
        while True:
            data = await self._inner.receive()
            if not data:
                return b""
            if out := self.take(data):
                return out

    def is_quiet(self) -> bool:
        """See `Channel`."""
        return self._inner.is_quiet()

    async def send(self, data: bytes) -> None:
        """See `Channel`."""
        await self._inner.send(data)

    def take(self, data: bytes) -> bytes:
        """The stdout bytes in `data`.

        Raises:
            FrameError: a header that the engine does not write.
        """
        out = bytearray()
        while data:
            if self._left == 0:
                wanted = HEADER.size - len(self._head)
                self._head += data[:wanted]
                data = data[wanted:]
                if len(self._head) == HEADER.size:
                    self._start_piece()
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            if self._source == 1:
                out += piece
            else:
                self.diagnostics += piece
                del self.diagnostics[:-DIAGNOSTICS_BYTES]
        return bytes(out)

    def _start_piece(self) -> None:
        self._source, self._left = HEADER.unpack(self._head)
        zeros = bytes(self._head[1:4])
        self._head.clear()
        if self._source not in (1, 2) or zeros != b"\0\0\0":
            raise FrameError("the engine's attach stream is not in its documented form")
