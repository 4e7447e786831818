"""What arguments of a tool may be, in a bounded choice: the values policies can tell apart.

From the schema (closed choices, bounds and their neighbours), the tables, and the words and
numbers the modules themselves compare with. What no policy names, no policy can tell from
another value: a few such stand for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from permissions.authoring.nearest import listed_values
from permissions.pdp.rego.ast import rule_terms, walk_terms
from permissions.pdp.regorus.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from permissions.model import JsonObject, JsonValue
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.rego.ast import Rule
    from permissions.tools.definition import ToolDefinition

MOST_WORDS = 40
"""Texts taken from the modules for one argument; the first, in the order of files and lines."""

_OTHERS: Mapping[str, tuple[JsonValue, ...]] = {
    "host": ("https://other.example/x",),
    "recipient": ("somebody@other.example",),
    "amount": ("0.01", "99999.00"),
    "path": ("notes.txt", ".env", "/etc/passwd"),
    "command": (["ls"],),
    "resource": ("record-1",),
    "secret": ("Kestrel-42-blue",),
    "sql": ("SELECT id FROM items LIMIT 10", "DELETE FROM items"),
}
_ACCOUNT = "DE89370400440532013000"


def domains(
    tool: ToolDefinition, bundles: Iterable[PolicyBundle], words: Iterable[str | int | float]
) -> dict[str, list[JsonValue]]:
    """The choice for each argument, the plainest value first.

    Args:
        tool: whose arguments they are.
        bundles: whose tables count.
        words: what modules compare with, from `compared`.
    """
    known = list(words)
    return {
        name: _distinct(_values(tool, name, bundles, known))
        for name in tool.schema.get("properties", {})
    }


def compared(bundles: Iterable[PolicyBundle]) -> list[str | int | float]:
    """The words and numbers that own modules are written with; those of all bundles once."""
    texts = [dict(bundle.modules) for bundle in bundles]
    shared = (
        set.intersection(*(set(each.items()) for each in texts)) if len(texts) > 1 else set()
    )
    found: dict[str | int | float, None] = {}
    for modules in texts:
        for path, text in reversed(modules.items()):  # an overlay's own come last
            if (path, text) in shared or path.split("/")[0] in ("main", "joined", "contract"):
                continue
            for rule in parse(path, text).rules:
                found.update(dict.fromkeys(_said(rule)))
    return list(found)


def _said(rule: Rule) -> Iterator[str | int | float]:
    """What a rule compares with: operands, arguments and members of lists, no names of members."""
    answers = {id(term) for value in rule.values for term in walk_terms((value,))}
    for term in rule_terms(rule):
        if id(term) not in answers and term.kind in ("infix", "call", "array", "set"):
            for each in term.terms:
                if each.kind in ("string", "number"):
                    yield each.value


def _values(
    tool: ToolDefinition,
    name: str,
    bundles: Iterable[PolicyBundle],
    words: list[str | int | float],
) -> Iterator[JsonValue]:
    schema = _plain(tool.schema["properties"][name], tool.schema)
    mark = tool.targets.get(name)
    if mark is not None:
        account = getattr(mark, "scheme", None) == "account"
        others = (_ACCOUNT,) if account else _OTHERS[mark.kind]
        is_list = schema.get("type") == "array" and mark.kind != "command"
        yield from ([each] for each in others) if is_list else others
    for bundle in bundles:
        yield from listed_values(tool, name, bundle.data)
    if "default" in schema:
        yield schema["default"]
    yield from _of_schema(schema, words, marked=mark is not None)


def _of_schema(
    schema: JsonObject, words: list[str | int | float], *, marked: bool
) -> Iterator[JsonValue]:
    kind = schema.get("type")
    if "enum" in schema:
        yield from schema["enum"]
    elif kind == "boolean":
        yield from (False, True)
    elif kind in ("integer", "number"):
        low, high = schema.get("minimum"), schema.get("maximum")
        bounds = [each for each in (low, high) if each is not None]
        named = [each for each in words if isinstance(each, int | float)]
        for each in (0, 1, *bounds, *named):
            yield from (each - 1, each, each + 1)
    elif kind == "string":
        yield "text"
        for word in [each for each in words if isinstance(each, str)][:MOST_WORDS]:
            if not marked:
                yield word
                yield f"{word}x"
    elif kind == "array":
        yield []
        inner = _of_schema(_item(schema), words, marked=marked)
        yield from ([each] for each in inner)
    elif kind == "object":
        yield {}


def _item(schema: JsonObject) -> JsonObject:
    items: Any = schema.get("items")
    return items if isinstance(items, dict) else {}


def _plain(schema: JsonObject, whole: JsonObject) -> JsonObject:
    """The first alternative that is no null, references followed."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _plain(whole.get("$defs", {}).get(name, {}), whole)
    for word in ("anyOf", "oneOf"):
        for each in schema.get(word, ()):
            if each.get("type") != "null":
                return {
                    **_plain(each, whole),
                    **{k: schema[k] for k in ("default",) if k in schema},
                }
    return schema


def _distinct(values: Iterable[JsonValue]) -> list[JsonValue]:
    found: list[JsonValue] = []
    for each in values:
        if not any(type(each) is type(other) and each == other for other in found):
            found.append(each)
    return found
