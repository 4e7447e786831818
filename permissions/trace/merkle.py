"""RFC 6962 Merkle trees (section 2.1): the writer's frontier.

The frontier holds one hash per set bit of the size, so that a log of a billion entries costs
thirty hashes of memory.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from permissions.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """What a writer must remember to go on appending."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def of(cls, size: int, peaks: Iterable[bytes]) -> Frontier:
        """The frontier over `size` leaves, from the roots of its whole subtrees.

        Raises:
            TraceError: there are not as many as the size has.
        """
        frontier = cls()
        frontier.size, frontier._peaks = size, list(peaks)
        if len(frontier._peaks) != size.bit_count():
            raise TraceError(f"{len(frontier._peaks)} subtrees do not make {size} leaves")
        return frontier

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the whole subtrees, from left to right."""
        return tuple(self._peaks)

    def copy(self) -> Frontier:
        """An independent frontier over the same leaves."""
        twin = Frontier()
        twin.size = self.size
        twin._peaks = self._peaks.copy()
        return twin

    def append(self, leaf: bytes) -> None:
        """Adds a leaf hash."""
        size, peaks = self.size, self._peaks
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root
