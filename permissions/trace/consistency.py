"""Consistency proofs (RFC 6962, section 2.1.2): that a longer log begins with a shorter one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.merkle import EMPTY_ROOT, Frontier, node_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HASHES = 63


class GrowingTree:
    """A tree from some size on: what proves how it grew since then."""

    def __init__(self, frontier: Frontier) -> None:
        """`frontier` is the tree at the size from which on it is known leaf by leaf."""
        self._start = frontier.copy()
        self._leaves: list[bytes] = []

    @property
    def start(self) -> int:
        """The least size that a proof may begin at."""
        return self._start.size

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._start.size + len(self._leaves)

    def root_at_start(self) -> bytes:
        """The root of the tree at its least size."""
        return self._start.root()

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Adds leaf hashes."""
        self._leaves += leaves

    def forget_before(self, size: int) -> None:
        """Keeps no more than proofs from `size` on need."""
        count = max(0, min(size, self.size) - self.start)
        for leaf in self._leaves[:count]:
            self._start.append(leaf)
        del self._leaves[:count]

    def proof(self, old: int, new: int) -> list[bytes]:
        """The hashes that lead from the tree of `old` leaves to that of `new`.

        Raises:
            TraceError: one of them is not known here.
        """
        if not self.start <= old <= new <= self.size:
            raise TraceError(
                f"no proof from {old} to {new}: {self.start} to {self.size} is known"
            )
        if old in (0, new):
            return []
        frontier = self._at(old)
        peaks = dict(zip(_whole(old), frontier.peaks, strict=True))
        found: list[bytes] = []
        low, high, whole = 0, new, True
        while high != old:
            middle = low + _split(high - low)
            if old <= middle:
                found.append(self._hash(middle, high, peaks))
                high = middle
            else:
                found.append(self._hash(low, middle, peaks))
                low, whole = middle, False
        if not whole:
            found.append(self._hash(low, high, peaks))
        return found[::-1]

    def _at(self, size: int) -> Frontier:
        frontier = self._start.copy()
        for leaf in self._leaves[: size - self.start]:
            frontier.append(leaf)
        return frontier

    def _hash(self, low: int, high: int, peaks: dict[tuple[int, int], bytes]) -> bytes:
        if (known := peaks.get((low, high))) is not None:
            return known
        if high - low == 1:
            return self._leaves[low - self.start]
        middle = low + _split(high - low)
        return node_hash(self._hash(low, middle, peaks), self._hash(middle, high, peaks))


def check_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Checks that the tree of `new` leaves begins with that of `old`.

    Raises:
        TraceIntegrityError: it does not, or this does not prove it.
    """
    if not 0 <= old <= new or len(proof) > MAX_HASHES:
        raise TraceIntegrityError("a consistency proof of sizes that make no sense")
    if old in (0, new):
        if proof:
            raise TraceIntegrityError("a consistency proof with hashes that prove nothing")
        if old_root != (new_root if old == new else EMPTY_ROOT):
            raise TraceIntegrityError("two roots of the same size differ")
        return
    left = list(reversed(proof))
    try:
        found = _roots(old, old_root, 0, new, left)
    except IndexError as err:
        raise TraceIntegrityError("a consistency proof is cut short") from err
    if left or found != (old_root, new_root):
        raise TraceIntegrityError("the longer log does not begin with the shorter one")


def _roots(
    old: int, old_root: bytes | None, low: int, high: int, left: list[bytes]
) -> tuple[bytes, bytes]:
    """Of the leaves from `low` on: the roots up to `old` and up to `high`, from what is left.

    `old_root` is None within a part whose old root is not that of the whole tree.
    """
    if high == old:
        found = old_root if old_root is not None else left.pop()
        return found, found
    middle = low + _split(high - low)
    if old <= middle:
        before, after = _roots(old, old_root, low, middle, left)
        return before, node_hash(after, left.pop())
    before, after = _roots(old, None, middle, high, left)
    sibling = left.pop()
    return node_hash(sibling, before), node_hash(sibling, after)


def _whole(size: int) -> list[tuple[int, int]]:
    """The whole subtrees of a tree, from left to right: first leaf and the one after the last."""
    found, low = [], 0
    for bit in reversed(range(size.bit_length())):
        if size >> bit & 1:
            found.append((low, low + (1 << bit)))
            low += 1 << bit
    return found


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1
