"""The nearest call that would be allowed: fewest arguments changed, to what operators listed.

Values come from the tables, the schema and the plan; a person decides whether they are what is
wanted. Nothing found says only that none of these would do.
"""

from __future__ import annotations

from itertools import combinations, islice, product
from typing import TYPE_CHECKING

from permissions.authoring.trial import question_about
from permissions.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.authoring.trial import Circumstances, Judge
    from permissions.model import JsonObject, JsonValue
    from permissions.tools.definition import ToolDefinition

MOST_CALLS = 300
"""Calls that are tried before it is given up: well under a second."""


def nearest_allowed(
    judge: Judge, tool: ToolDefinition, arguments: JsonObject, around: Circumstances
) -> JsonObject | None:
    """Arguments for which the call would be permitted; None when none were found."""
    for candidate in islice(_changed(tool, arguments, judge.bundle.data), MOST_CALLS):
        try:
            decided = judge.decide(question_about(tool, candidate, around))
        except BrokerError:
            continue
        if decided.permitted:
            return candidate
    return None


def _changed(
    tool: ToolDefinition, arguments: JsonObject, data: JsonObject
) -> Iterator[JsonObject]:
    """The call with one argument changed, then two, and so on."""
    others = {
        name: [each for each in known if each != arguments.get(name)]
        for name in tool.schema.get("properties", {})
        if (known := listed_values(tool, name, data))
    }
    for count in range(1, len(others) + 1):
        for names in combinations(others, count):
            for values in product(*(others[name] for name in names)):
                changed = dict(zip(names, values, strict=True))
                yield {**arguments, **{k: v for k, v in changed.items() if v is not None}}


def listed_values(tool: ToolDefinition, name: str, data: JsonObject) -> list[JsonValue]:
    """Values of one argument that operators or the schema list, the plainest first."""
    tables: JsonObject = data.get("wardline", {}).get("tables", {})
    mark = tool.targets.get(name)
    found = [*_closed(tool.schema["properties"][name])]
    if mark is not None:
        found += _LISTED[mark.kind](tables, getattr(mark, "scheme", None))
    is_list = tool.schema["properties"][name].get("type") == "array"
    return [[each] for each in found] if is_list else found


def _closed(schema: JsonObject) -> list[JsonValue]:
    if "enum" in schema:
        return list(schema["enum"])
    return [False, True] if schema.get("type") == "boolean" else []


def _hosts(tables: JsonObject, _: str | None) -> list[JsonValue]:
    hosts: Mapping[str, JsonObject] = tables.get("network", {}).get("hosts", {})
    return [
        f"{scheme}://{host}/" for host, entry in hosts.items() for scheme in entry["schemes"]
    ]


def _recipients(tables: JsonObject, scheme: str | None) -> list[JsonValue]:
    table: JsonObject = tables.get("messaging", {})
    names = {"account": ("accounts",), "phone": ("phones",)}.get(
        scheme or "email", ("addresses",)
    )
    found: list[JsonValue] = [each for name in names for each in table.get(name, ())]
    if scheme in (None, "email"):
        found += [f"somebody@{domain}" for domain in table.get("domains", ())]
    return found


def _amounts(tables: JsonObject, _: str | None) -> list[JsonValue]:
    limits: Mapping[str, JsonObject] = tables.get("budgets", {}).get("amounts", {})
    free = {entry.get("without_person", 0) for entry in limits.values()}
    return [f"{minor // 100}.{minor % 100:02}" for minor in sorted(free, reverse=True) if minor]


def _paths(tables: JsonObject, _: str | None) -> list[JsonValue]:
    roots = tables.get("filesystem", {}).get("roots", {}).get("read", ())
    return ["notes.txt", *(f"{root}/notes.txt" for root in roots)]


def _commands(_: JsonObject, __: str | None) -> list[JsonValue]:
    return []


_LISTED = {
    "host": _hosts,
    "recipient": _recipients,
    "amount": _amounts,
    "path": _paths,
    "command": _commands,
}
