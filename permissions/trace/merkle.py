"""RFC 6962 Merkle trees (section 2.1): the writer's frontier, and proofs.

The frontier holds one hash per set bit of the size, so that a log of a billion entries costs
thirty hashes of memory. Proofs are made from all leaf hashes and checked without them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def copy(self) -> Frontier:
        """An independent frontier at the same place."""
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


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, as the RFC defines it (2.1)."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index` (2.1.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"no leaf {index} in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if index < split:
        return (*inclusion_proof(leaves[:split], index), tree_root(leaves[split:]))
    return (*inclusion_proof(leaves[split:], index - split), tree_root(leaves[:split]))


def consistency_proof(leaves: Sequence[bytes], old: int) -> tuple[bytes, ...]:
    """That the tree over the first `old` leaves is a prefix of this one (2.1.2).

    Raises:
        ValueError: `old` is zero or larger than the tree.
    """
    if not 0 < old <= len(leaves):
        raise ValueError(f"no prefix of {old} leaves in a tree of {len(leaves)}")
    return _consistency(leaves, old, whole=True)


def _consistency(leaves: Sequence[bytes], old: int, *, whole: bool) -> tuple[bytes, ...]:
    if old == len(leaves):
        return () if whole else (tree_root(leaves),)
    split = _split(len(leaves))
    if old <= split:
        return (*_consistency(leaves[:split], old, whole=whole), tree_root(leaves[split:]))
    rest = _consistency(leaves[split:], old - split, whole=False)
    return (*rest, tree_root(leaves[:split]))


def verify_inclusion(
    leaf: bytes, *, index: int, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows `leaf` at `index` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, hashed = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            hashed = node_hash(step, hashed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            hashed = node_hash(hashed, step)
        node, last = node >> 1, last >> 1
    return last == 0 and hashed == root


def verify_consistency(
    *, old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows the old tree to be a prefix (RFC 9162 section 2.1.4.2)."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not steps:
        return False
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, step)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
