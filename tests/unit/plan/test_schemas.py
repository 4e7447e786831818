"""What the plan asks of schemas: types, fields behind a pointer, and what is narrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from permissions.plan.schemas import (
    broken_keyword,
    field_schema,
    is_extractor,
    refused_arguments,
    types_of,
)

if TYPE_CHECKING:
    from permissions.model import JsonObject, JsonValue

ROOT: JsonObject = {
    "$defs": {"Item": {"type": "object", "properties": {"id": {"type": "integer"}}}},
    "type": "object",
    "properties": {
        "item": {"$ref": "#/$defs/Item"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/Item"}, {"type": "null"}]},
        "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        "words": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object"},
        "any": {},
        "a/b": {"type": "boolean"},
        "loop": {"$ref": "#/properties/loop"},
        "away": {"$ref": "https://schemas.example/x"},
    },
}


@dataclass(frozen=True)
class FieldCase:
    id: str
    tokens: tuple[str, ...]
    schema: JsonValue


@pytest.mark.parametrize(
    "case",
    [
        FieldCase("through a reference", ("item", "id"), {"type": "integer"}),
        FieldCase("through a branch", ("maybe", "id"), {"type": "integer"}),
        FieldCase("of an item", ("items", "0", "id"), {"type": "integer"}),
        FieldCase("item by name", ("items", "first"), schema=False),
        FieldCase("item with a leading zero", ("items", "00"), schema=False),
        FieldCase("within a prefix", ("pair", "0"), {"type": "string"}),
        FieldCase("behind a prefix", ("pair", "1"), schema=False),
        FieldCase("of a dictionary", ("words", "x"), {"type": "string"}),
        FieldCase("of any object", ("free", "x", "y"), schema=True),
        FieldCase("of anything", ("any", "x"), schema=True),
        FieldCase("with a slash", ("a/b",), {"type": "boolean"}),
        FieldCase("undeclared", ("nope",), schema=False),
        FieldCase("below undeclared", ("nope", "x"), None),
        FieldCase("in a schema that names itself", ("loop", "x"), None),
        FieldCase("in a schema elsewhere", ("away", "x"), None),
    ],
    ids=lambda case: case.id,
)
def test_field_behind_a_pointer(case: FieldCase) -> None:
    assert field_schema(ROOT, case.tokens) == case.schema


@dataclass(frozen=True)
class TypeCase:
    schema: JsonValue
    types: set[str]


@pytest.mark.parametrize(
    "case",
    [
        TypeCase({"type": "string"}, {"string"}),
        TypeCase({"type": "number"}, {"number", "integer"}),
        TypeCase({"type": ["string", "null"]}, {"string", "null"}),
        TypeCase({"const": True}, {"boolean"}),
        TypeCase(
            {"enum": [1, 1.5, "a", None, [], {}]},
            {"integer", "number", "string", "null", "array", "object"},
        ),
        TypeCase({"enum": [2.0]}, {"integer"}),
        TypeCase({"type": "string", "enum": ["a", 1]}, {"string"}),
        TypeCase({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"string", "null"}),
        TypeCase({"allOf": [{"type": ["string", "null"]}, {"type": "string"}]}, {"string"}),
        TypeCase({"$ref": "#/$defs/Item"}, {"object"}),
        TypeCase({"$ref": "#/$defs/Nope"}, set()),
        TypeCase({"$ref": "https://schemas.example/x"}, set()),
        TypeCase(schema=False, types=set()),
    ],
    ids=lambda case: str(case.schema)[:50],
)
def test_types_a_schema_accepts(case: TypeCase) -> None:
    assert types_of(case.schema, ROOT) == case.types


@dataclass(frozen=True)
class NarrowCase:
    schema: JsonObject
    narrow: bool


TEXT = {"type": "string", "maxLength": 30}


@pytest.mark.parametrize(
    "case",
    [
        NarrowCase({"type": ["number", "null"], "minimum": 0, "maximum": 9}, narrow=True),
        NarrowCase({"type": ["number", "string"], "minimum": 0, "maximum": 9}, narrow=False),
        NarrowCase({"type": ["null"]}, narrow=False),
        NarrowCase({"const": "x"}, narrow=True),
        NarrowCase({"enum": ["x", "y"]}, narrow=True),
        NarrowCase({"type": "boolean"}, narrow=True),
        NarrowCase({"type": "integer", "minimum": 0, "maximum": 9}, narrow=True),
        NarrowCase(
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, narrow=True
        ),
        NarrowCase({**TEXT, "pattern": "DE[0-9]{20}"}, narrow=True),
        NarrowCase({**TEXT, "pattern": "[a-z]+@corp[.]example"}, narrow=True),
        NarrowCase({"type": "array", "maxItems": 3, "items": {"enum": ["a"]}}, narrow=True),
        NarrowCase({"type": "null"}, narrow=False),
        NarrowCase({"type": "object"}, narrow=False),
        NarrowCase({"type": "integer"}, narrow=False),
        NarrowCase({"type": "integer", "maximum": 9}, narrow=False),
        NarrowCase({"type": "integer", "minimum": 9}, narrow=False),
        NarrowCase(TEXT, narrow=False),
        NarrowCase({"type": "string", "pattern": "DE[0-9]*"}, narrow=False),
        NarrowCase({"type": "string", "pattern": "DE[0-9]*", "maxLength": 257}, narrow=False),
        NarrowCase({**TEXT, "pattern": ".*"}, narrow=False),
        NarrowCase({**TEXT, "pattern": r"\S+"}, narrow=False),
        NarrowCase({**TEXT, "pattern": r"\w+ \w+"}, narrow=False),
        NarrowCase({**TEXT, "pattern": "https://.*"}, narrow=False),
        NarrowCase({**TEXT, "pattern": "[./a-z]+"}, narrow=False),
        NarrowCase({"type": "array", "items": {"enum": ["a"]}}, narrow=False),
        NarrowCase({"type": "array", "maxItems": 3}, narrow=False),
        NarrowCase({"type": "array", "maxItems": 3, "items": TEXT}, narrow=False),
    ],
    ids=lambda case: str(case.schema)[:60],
)
def test_what_counts_as_an_extractor(case: NarrowCase) -> None:
    assert is_extractor(case.schema) is case.narrow


def test_pattern_of_a_hole_matches_the_whole_string() -> None:
    """No anchor can be forgotten, and no line end slips behind one."""
    schema = {"type": "string", "pattern": "^[a-z]+$"}

    assert broken_keyword(schema, "abc") is None
    assert broken_keyword({"type": "string", "pattern": "b"}, "abc") == "pattern"
    assert broken_keyword(schema, "abc\n") == "pattern"
    assert broken_keyword(schema, "abc\nd e f") == "pattern"


def test_number_that_cannot_be_checked_is_refused() -> None:
    assert broken_keyword({"type": "number", "multipleOf": 0.1}, float("inf")) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"$ref": "https://schemas.example/x"}}},
        {"properties": {"a": {"type": "text"}}},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"properties": {"a": {"maxLength": "many"}}},
    ],
    ids=lambda schema: str(schema["properties"]["a"]),
)
def test_tool_schema_that_cannot_be_read_refuses(schema: JsonObject) -> None:
    """Nothing is fetched and nothing is guessed."""
    assert refused_arguments(schema, {"a": "x"}) == {"a": "its schema cannot be read"}
