"""Which fields a tool says its service fills in, and what is no such pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from permissions.errors import ToolDefinitionError
from permissions.tools.decorator import tool
from permissions.tools.trusted_fields import TrustedFields

if TYPE_CHECKING:
    from permissions.vocabulary import JsonValue

DOCUMENT: JsonValue = {
    "id": "f1",
    "files": [
        {"id": "f2", "shared": {"a@b.example": {"id": "f3"}}, "tags": ["x", {"id": "y"}]},
    ],
    "a/b~c": 4,
}


@dataclass(frozen=True)
class Case:
    id: str
    patterns: tuple[str, ...]
    found: frozenset[str | int]


CASES = [
    Case("none", (), frozenset()),
    Case("a name at any depth", ("id",), frozenset({"f1", "f2", "f3", "y"})),
    Case("a pointer", ("/id",), frozenset({"f1"})),
    Case("any item", ("/files/*/id",), frozenset({"f2"})),
    Case("one item", ("/files/0/id",), frozenset({"f2"})),
    Case("another item", ("/files/1/id",), frozenset()),
    Case("a list's items", ("tags",), frozenset({"x"})),
    Case("names of members", ("shared#",), frozenset({"a@b.example"})),
    Case("the same by a pointer", ("/files/*/shared#",), frozenset({"a@b.example"})),
    Case("names at the top", ("#",), frozenset({"id", "files", "a/b~c"})),
    Case("an object", ("files", "shared"), frozenset()),
    Case("escaped", ("/a~1b~0c",), frozenset({4})),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_fields(case: Case) -> None:
    assert {
        each.value for each in TrustedFields(case.patterns).found_in(DOCUMENT)
    } == case.found


def test_a_single_value() -> None:
    assert [each.value for each in TrustedFields([""]).found_in("id-1")] == ["id-1"]


@pytest.mark.parametrize("pattern", ["a/b", "/a~2", "a b", "*", "/a#/b", "~", "x" * 200])
def test_what_is_no_pattern_is_refused_where_the_tool_is_declared(pattern: str) -> None:
    with pytest.raises(ToolDefinitionError, match="trusted_fields"):

        @tool(effect="read", trusted_fields=[pattern])
        def read() -> str:
            return ""


def test_the_fields_are_part_of_the_tools_digest() -> None:
    def read() -> str:
        return ""

    digests = {
        tool(effect="read", trusted_fields=fields)(read).guard.definition.digest
        for fields in ([], ["id"], ["id", "id"], ["/id"])
    }

    assert len(digests) == 3
