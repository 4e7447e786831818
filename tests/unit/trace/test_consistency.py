"""Consistency proofs: of every pair of sizes, and nothing else passes."""

from __future__ import annotations

import pytest
from logs import tree_root

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.consistency import GrowingTree, check_consistency
from permissions.trace.merkle import Frontier, leaf_hash

LEAVES = [leaf_hash(b"%d" % number) for number in range(40)]
ROOTS = [tree_root(LEAVES[:size]) for size in range(41)]


def tree(start: int, size: int) -> GrowingTree:
    frontier = Frontier()
    for leaf in LEAVES[:start]:
        frontier.append(leaf)
    grown = GrowingTree(frontier)
    grown.extend(LEAVES[start:size])
    return grown


@pytest.mark.parametrize("start", [0, 1, 5, 8, 13])
def test_every_pair_of_sizes_is_proven(start: int) -> None:
    grown = tree(start, 40)
    for old in range(start, 41):
        for new in range(old, 41):
            proof = grown.proof(old, new)
            check_consistency(old, ROOTS[old], new, ROOTS[new], proof)


def test_what_is_forgotten_is_not_proven_and_the_rest_is() -> None:
    grown = tree(0, 40)
    grown.forget_before(21)

    with pytest.raises(TraceError, match="21 to 40 is known"):
        grown.proof(20, 40)
    check_consistency(21, ROOTS[21], 40, ROOTS[40], grown.proof(21, 40))


def test_another_root_size_or_hash_is_refused() -> None:
    grown = tree(0, 40)
    for old, new in ((1, 2), (3, 7), (4, 8), (6, 8), (8, 13), (13, 40), (39, 40)):
        proof = grown.proof(old, new)
        for at in range(len(proof)):
            broken = [*proof]
            broken[at] = bytes(32)
            with pytest.raises(TraceIntegrityError):
                check_consistency(old, ROOTS[old], new, ROOTS[new], broken)
        for wrong in ([*proof, bytes(32)], proof[:-1]):
            with pytest.raises(TraceIntegrityError):
                check_consistency(old, ROOTS[old], new, ROOTS[new], wrong)
        with pytest.raises(TraceIntegrityError):
            check_consistency(old, bytes(32), new, ROOTS[new], proof)
        with pytest.raises(TraceIntegrityError):
            check_consistency(old, ROOTS[old], new, bytes(32), proof)


def test_sizes_that_need_no_proof_take_none() -> None:
    check_consistency(0, ROOTS[0], 9, ROOTS[9], [])
    check_consistency(9, ROOTS[9], 9, ROOTS[9], [])
    for old, new, proof in ((0, 9, [bytes(32)]), (9, 9, [bytes(32)]), (9, 8, []), (3, 9, [])):
        with pytest.raises(TraceIntegrityError):
            check_consistency(old, ROOTS[old], new, ROOTS[new], proof)
    with pytest.raises(TraceIntegrityError, match="same size differ"):
        check_consistency(9, ROOTS[9], 9, ROOTS[8], [])
