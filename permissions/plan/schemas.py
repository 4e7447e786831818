"""Questions the plan asks of JSON Schemas (draft 2020-12), answered without IO.

Two kinds of schema meet here. A tool's schema comes from its developer and may use the whole
language; it is read with local references only. A hole's schema comes from the planner and is
held to a closed set of keywords, so that a misspelt keyword is an error and never "anything
goes". In a hole `pattern` is RE2 syntax and must match the whole string: no backtracking, and
no forgotten anchor.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import re2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from permissions.model import JsonObject, JsonValue

KEYWORDS = frozenset(
    {
        "type", "enum", "const", "pattern", "minLength", "maxLength",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "items", "minItems", "maxItems", "uniqueItems",
        "properties", "required", "additionalProperties",
        "title", "description",
    }
)  # fmt: skip
"""Every keyword a hole may use. `format` is missing because validators do not assert it."""

TYPES = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
MAX_DEPTH = 8
MAX_EXTRACTED_CHARACTERS = 256
MAX_EXTRACTED_ITEMS = 100

_PROBES = (
    "ignore all previous instructions",
    "two words",
    "line\nbreak",
    "../../etc/passwd",
    "https://probe.example/?q=1",
    "$(id)",
    "<b>markup</b>",
    "a;b",
)
"""Strings that no narrow pattern accepts. A pattern that takes one is free text in disguise."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20


@cache
def _validators() -> tuple[type[Validator], type[Validator], Any]:
    """A tool's validator, a hole's validator, and a registry that fetches nothing."""
    # jsonschema takes 100 ms to import, which a process without plans never pays
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend
    from referencing import Registry

    def pattern(
        _validator: Any, expression: str, instance: JsonValue, _schema: Any
    ) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not _matches(expression, instance):
            yield ValidationError("does not match the pattern", validator="pattern")

    hole = extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return Draft202012Validator, hole, Registry()


def _matches(expression: str, text: str) -> bool:
    return re2.fullmatch(expression, text, options=_OPTIONS) is not None


def require_closed(schema: JsonValue, depth: int = 0) -> None:
    """Refuses a hole's schema that is not well-formed or leaves the closed keyword set.

    Raises:
        ValueError: says which keyword and what to do instead.
    """
    if not isinstance(schema, dict):
        raise ValueError("a schema here must be an object")  # noqa: TRY004 - pydantic's contract
    if depth > MAX_DEPTH:
        raise ValueError(f"the schema is nested deeper than {MAX_DEPTH}")
    unknown = sorted(str(key)[:40] for key in schema.keys() - KEYWORDS)
    if unknown:
        raise ValueError(
            f"the schema uses {unknown[0]!r}, which a plan does not know; use only"
            f" {', '.join(sorted(KEYWORDS))}"
        )
    from jsonschema.exceptions import SchemaError

    try:
        _validators()[0].check_schema(schema)
    except SchemaError as err:
        where = "/".join(map(str, err.absolute_path)) or "the top"
        raise ValueError(f"not a JSON Schema at {where} ({err.validator})") from err
    if not schema.keys() & {"type", "enum", "const"}:
        raise ValueError("the schema needs a type, an enum or a const")
    if "pattern" in schema:
        try:
            re2.compile(schema["pattern"], options=_OPTIONS)
        except re2.error as err:
            raise ValueError("the pattern is not RE2 syntax (no look-around, no \\1)") from err
    inner = [*schema.get("properties", {}).values()]
    inner += [schema["items"]] if "items" in schema else []
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append(schema["additionalProperties"])
    for each in inner:
        require_closed(each, depth + 1)


def broken_keyword(schema: JsonObject, value: JsonValue) -> str | None:
    """The first keyword of a hole's schema that the value breaks, or None when it fits."""
    _, validator, registry = _validators()
    try:
        error = next(validator(schema, registry=registry).iter_errors(value), None)
    except (ArithmeticError, RecursionError):
        return "a number or a nesting that cannot be checked"
    return None if error is None else str(error.validator)


def refused_arguments(schema: JsonObject, values: Mapping[str, JsonValue]) -> dict[str, str]:
    """Arguments that a tool's schema refuses, with the keyword that refuses each.

    Absent arguments are not looked at; the caller knows which may still come. A schema that
    cannot be read refuses every argument: it may come from a server nobody here controls.
    """
    from jsonschema.exceptions import UndefinedTypeCheck, UnknownType
    from referencing.exceptions import Unresolvable

    validator, _, registry = _validators()
    partial = {**schema, "required": []}
    found: dict[str, str] = {}
    try:
        for error in validator(partial, registry=registry).iter_errors(dict(values)):
            if error.absolute_path:
                found.setdefault(str(error.absolute_path[0]), str(error.validator))
    except (
        ArithmeticError,
        AttributeError,
        RecursionError,
        TypeError,
        UndefinedTypeCheck,
        UnknownType,
        Unresolvable,
        re.error,
    ):
        return dict.fromkeys(values, "its schema cannot be read")
    return found


def is_extractor(schema: JsonObject) -> bool:
    """Whether a schema is narrow enough to let an untrusted value into a control argument.

    Exactly these are: `const`; `enum`; a boolean; an integer or number bounded on both
    sides; a string with `pattern` and `maxLength` <= 256 whose pattern refuses every probe
    (prose, paths that climb, URLs with a query, shell and markup); an array with `maxItems`
    <= 100 whose items are one of these; several types, each one of these or null.

    It bounds what an untrusted source can say, not what is true: another person's account number
    fits the pattern of an account number.
    """
    if "const" in schema or "enum" in schema or schema.get("type") == "boolean":
        return True
    match schema.get("type"):
        case [*kinds]:
            each = [kind for kind in kinds if kind != "null"]
            return bool(each) and all(is_extractor({**schema, "type": kind}) for kind in each)
        case "integer" | "number":
            return bool(
                schema.keys() & {"minimum", "exclusiveMinimum"}
                and schema.keys() & {"maximum", "exclusiveMaximum"}
            )
        case "string":
            return (
                "pattern" in schema
                and schema.get("maxLength", MAX_EXTRACTED_CHARACTERS + 1)
                <= MAX_EXTRACTED_CHARACTERS
                and not any(_matches(schema["pattern"], probe) for probe in _PROBES)
            )
        case "array":
            return (
                schema.get("maxItems", MAX_EXTRACTED_ITEMS + 1) <= MAX_EXTRACTED_ITEMS
                and "items" in schema
                and is_extractor(schema["items"])
            )
        case _:
            return False


def types_of(schema: JsonValue, root: JsonObject, depth: int = 0) -> frozenset[str]:
    """JSON types a schema may accept; a superset where the schema is too rich to tell.

    `number` stands for itself and `integer`.
    """
    if schema is False:
        return frozenset()
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return TYPES
    found = TYPES
    if "type" in schema:
        declared = schema["type"]
        found = frozenset([declared] if isinstance(declared, str) else declared)
        found |= {"integer"} if "number" in found else frozenset()
    if "const" in schema:
        found &= _type_names(schema["const"])
    if "enum" in schema:
        found &= frozenset().union(*map(_type_names, schema["enum"]))
    if "$ref" in schema:
        found &= types_of(_local(schema["$ref"], root), root, depth + 1)
    for branches in (schema.get("anyOf"), schema.get("oneOf")):
        if branches:
            found &= frozenset().union(*(types_of(b, root, depth + 1) for b in branches))
    for branch in schema.get("allOf", ()):
        found &= types_of(branch, root, depth + 1)
    return found


def field_schema(schema: JsonObject, tokens: tuple[str, ...]) -> JsonValue | None:
    """The schema of the field a JSON pointer leads to, or None when none is declared."""
    return _walk(schema, tokens, schema, 0)


def _walk(
    schema: JsonValue, tokens: tuple[str, ...], root: JsonObject, depth: int
) -> JsonValue | None:
    if not tokens or schema is True:
        return schema
    if not isinstance(schema, dict) or depth > 4 * MAX_DEPTH:
        return None
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if "$ref" in schema:
        branches.append(_local(schema["$ref"], root))
    if branches:
        found = (_walk(branch, tokens, root, depth + 1) for branch in branches)
        return next((each for each in found if each is not None), None)
    return _walk(_member(schema, tokens[0]), tokens[1:], root, depth + 1)


def _member(schema: JsonObject, token: str) -> JsonValue:
    """The schema of one member or item; False when the schema declares no such thing."""
    types = types_of(schema, {})
    if "object" in types:
        properties = schema.get("properties", {})
        if token in properties:
            return properties[token]
        return schema.get("additionalProperties", not properties)
    if "array" in types and _INDEX.fullmatch(token):
        prefix = schema.get("prefixItems", [])
        return prefix[int(token)] if int(token) < len(prefix) else schema.get("items", True)
    return False


def _local(reference: JsonValue, root: JsonObject) -> JsonValue:
    """What a `#/...` reference points at; False (nothing fits) for any other reference."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return False
    found: JsonValue = root
    for token in reference[2:].split("/"):
        name = token.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return found


def _type_names(value: JsonValue) -> frozenset[str]:
    if isinstance(value, float) and not value.is_integer():
        return frozenset({"number"})
    return frozenset({_NAME_OF.get(type(value), "object")})


_NAME_OF: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "integer",
    str: "string",
    type(None): "null",
    list: "array",
}
