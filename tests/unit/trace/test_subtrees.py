"""The verifier's tree has the roots of RFC 6962, however its leaves come."""

from __future__ import annotations

import hashlib

import pytest
from logs import tree_root

from permissions.trace.merkle import Frontier
from permissions.trace.subtrees import Subtrees

LEAVES = [hashlib.sha256(bytes([n])).digest() for n in range(70)]


@pytest.mark.parametrize("together", [1, 2, 3, 4, 7, 16, 70])
def test_roots_and_peaks_are_those_of_the_page_and_of_the_writer(together: int) -> None:
    tree, frontier = Subtrees(), Frontier()
    assert tree.root() == b""
    for first in range(0, len(LEAVES), together):
        group = LEAVES[first : first + together]
        before = tree.copy()
        tree.add(group)
        for leaf in group:
            frontier.append(leaf)
        assert tree.root() == tree_root(LEAVES[: first + len(group)])
        assert tree.peaks == frontier.peaks
        taken_up = Subtrees.of(first, before.peaks)
        taken_up.add(group)
        assert taken_up.root() == tree.root()


def test_a_tree_is_not_made_of_too_few_subtrees() -> None:
    with pytest.raises(ValueError, match="1 subtrees do not make 3 leaves"):
        Subtrees.of(3, LEAVES[:1])
