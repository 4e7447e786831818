"""Inclusion proofs: as pymerkle makes them, for every leaf of every small tree."""

from __future__ import annotations

import pytest
from logs import tree_root
from pymerkle import InmemoryTree

from permissions.errors import TraceError
from permissions.export.verify_packet import root_from
from permissions.trace.merkle import leaf_hash
from permissions.trace.proofs import Tree


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 13, 31, 32, 33])
def test_roots_and_paths_are_those_of_another_implementation(size: int) -> None:
    data = [f"entry {number}".encode() for number in range(size)]
    theirs = InmemoryTree(algorithm="sha256")
    for each in data:
        theirs.append_entry(each)

    tree = Tree([leaf_hash(each) for each in data])

    assert tree.root() == tree_root([leaf_hash(each) for each in data]) == theirs.get_root()
    for index in range(size):
        leaf, path = leaf_hash(data[index]), tree.path(index)
        listed = theirs.prove_inclusion(index + 1, size).serialize()["path"]  # with the leaf
        assert {leaf.hex(), *(each.hex() for each in path)} == set(listed)
        assert root_from(leaf, index, size, path) == tree.root()


@pytest.mark.parametrize("index", [-1, 3])
def test_a_leaf_that_is_not_there_has_no_path(index: int) -> None:
    with pytest.raises(TraceError, match="no leaf"):
        Tree([b"a" * 32] * 3).path(index)
