"""The verifier's tree (RFC 6962, section 2.1): equal subtrees merged, a level of a group at a time.

It shares nothing with the writer's frontier (`merkle`), so that one is a check of the other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Subtrees:
    """The roots of the whole subtrees over the leaves so far, one hash per set bit of their count."""

    __slots__ = ("_levels",)

    def __init__(self, levels: Iterable[bytes | None] = ()) -> None:
        """`levels` are the roots of one leaf, of two, of four and so on, where there is one."""
        self._levels = list(levels)

    @classmethod
    def of(cls, size: int, peaks: Iterable[bytes]) -> Subtrees:
        """Those over `size` leaves, from their roots from left to right.

        Raises:
            ValueError: there are not as many as the size has.
        """
        left = list(peaks)
        if len(left) != size.bit_count():
            raise ValueError(f"{len(left)} subtrees do not make {size} leaves")
        return cls(left.pop() if size >> bit & 1 else None for bit in range(size.bit_length()))

    def add(self, leaves: list[bytes]) -> None:
        """Adds the hashes of further leaves."""
        levels, height = self._levels, 0
        while leaves:
            if height == len(levels):
                levels.append(None)
            if (before := levels[height]) is not None:
                leaves = [before, *leaves]
            odd = len(leaves) & 1
            levels[height] = leaves[-1] if odd else None
            pairs = iter(leaves)
            leaves = [
                sha256(b"\x01" + left + right).digest()
                for left, right in zip(pairs, pairs, strict=False)  # the odd one was kept
            ]
            height += 1

    def copy(self) -> Subtrees:
        """The same, independent of what comes next."""
        return Subtrees(self._levels)

    def root(self) -> bytes:
        """The hash of the whole tree; nothing for no leaf."""
        folded = b""
        for each in self._levels:
            if each is not None:
                folded = sha256(b"\x01" + each + folded).digest() if folded else each
        return folded

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Their roots, from left to right."""
        return tuple(each for each in reversed(self._levels) if each is not None)
