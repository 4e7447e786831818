"""What is said to a command while it runs, and what it says: bytes both ways, as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


@dataclass(frozen=True, slots=True)
class Conversation:
    """The near ends of a command's standard input and output.

    Whoever does not take what is heard holds the command up, and is held up by one that does
    not read. What the command writes to stderr is not part of it: the end of that is in the
    result.

    Attributes:
        said: for its standard input, which is closed when this ends.
        heard: gets its standard output. Both stay their owner's to close.
    """

    said: MemoryObjectReceiveStream[bytes]
    heard: MemoryObjectSendStream[bytes]
