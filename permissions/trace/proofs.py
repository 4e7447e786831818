"""Inclusion proofs (RFC 6962, section 2.1.1): that an entry is in the tree a checkpoint signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import TraceError
from permissions.trace.merkle import EMPTY_ROOT, node_hash

if TYPE_CHECKING:
    from collections.abc import Sequence


class Tree:
    """The whole tree over some leaves; 64 bytes of memory each."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """`leaves` are leaf hashes, in order."""
        self.size = len(leaves)
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append(
                [
                    node_hash(below[at], below[at + 1])
                    for at in range(0, len(below) - len(below) % 2, 2)
                ]
            )

    def root(self) -> bytes:
        """The hash of the whole tree."""
        return self._hash(0, self.size) if self.size else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """The audit path of a leaf, from the leaf upwards.

        Raises:
            TraceError: there is no such leaf.
        """
        if not 0 <= index < self.size:
            raise TraceError(f"the tree has {self.size} leaves and no leaf {index}")
        found: list[bytes] = []
        low, high = 0, self.size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                found.append(self._hash(middle, high))
                high = middle
            else:
                found.append(self._hash(low, middle))
                low = middle
        return found[::-1]

    def _hash(self, low: int, high: int) -> bytes:
        width = high - low
        if width & (width - 1) == 0:  # a whole subtree, which always begins at a multiple of it
            level = width.bit_length() - 1
            return self._levels[level][low >> level]
        middle = low + _split(width)
        return node_hash(self._hash(low, middle), self._hash(middle, high))


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1
