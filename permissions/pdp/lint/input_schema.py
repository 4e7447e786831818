"""The form of the input as `policies/schemas/input.json` says it, as far as the linter asks.

A shape is the set of schemas a value may have; `None` is a value that may be anything, about
which nothing is said. Members that the schema leaves open, such as the arguments of a call,
are free.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from permissions.pdp.bundle import shipped_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.model import JsonObject, JsonValue

Shape = tuple[dict[str, Any], ...]


@cache
def _document() -> JsonObject:
    path = shipped_folder() / "schemas" / "input.json"
    found: JsonObject = json.loads(path.read_text("utf-8"))
    return found


def input_shape(question: str | None = None) -> Shape:
    """The shape of the whole input; of one question, or of all of them."""
    return tuple(
        each for each in _flat(_document()) if question is None or question in _names(each)
    )


def _names(schema: dict[str, Any]) -> Sequence[str]:
    action = schema["properties"]["action"]["properties"]
    names: Sequence[str] = action["name"]["enum"]
    return names


def member(shape: Shape, step: str | None) -> Shape | None:
    """What stands under a member, or under any (None); `()` when there is no such member."""
    found: list[dict[str, Any]] = []
    for schema in shape:
        below = _below(schema, step)
        if below is None:
            return None
        found += (each for each in below if each not in found)
    return tuple(found)


def _below(schema: dict[str, Any], step: str | None) -> Shape | None:
    types = schema.get("type", "object" if "properties" in schema else None)
    if types == "array":
        return _flat(schema.get("items")) if step is None else ()
    if types != "object":
        return () if types is not None or "enum" in schema else None
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    if not known and not isinstance(rest, dict):
        return None
    if isinstance(rest, dict) and (step is None or step not in known):
        return _flat(rest)
    if step is not None:
        return _flat(known[step]) if step in known else ()
    return tuple(each for one in known.values() for each in _flat(one))


def members(shape: Shape) -> list[str]:
    """The names of the members there are."""
    return sorted({name for schema in shape for name in schema.get("properties", ())})


def words(shape: Shape) -> frozenset[JsonValue] | None:
    """The only values there are; None when they are not listed."""
    found: set[JsonValue] = set()
    for schema in shape:
        if schema.get("type") == "null":
            found.add(None)
        elif "enum" in schema:
            found.update(schema["enum"])
        else:
            return None
    return frozenset(found) if found - {None} else None


def _flat(schema: Any) -> Shape:
    """Alternatives side by side, references followed."""
    if not isinstance(schema, dict):
        return ({},)
    if "$ref" in schema:
        return _flat(_document()["$defs"][schema["$ref"].rpartition("/")[2]])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return tuple(each for one in schema[word] for each in _flat(one))
    if isinstance(kinds := schema.get("type"), list):
        return tuple({**schema, "type": kind} for kind in kinds)
    return (schema,)
