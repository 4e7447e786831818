"""Findings about data: members no table has, packages that are not there, and long loops."""

from __future__ import annotations

import json
from functools import cache
from math import prod
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_bodies, rule_terms
from permissions.pdp.review.scene import TABLES, finding
from permissions.pdp.table_schemas import schema_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonValue
    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.review.scene import Scene

MOST_STEPS = 200_000
"""About a quarter of a second in the embedded engine, its deadline for one answer."""

_OPEN = (("data", "wardline", name) for name in ("policies", "layers", "egress", "effects"))
_COLLECTIONS = frozenset(_OPEN) | {TABLES}


def check_data(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """References into data that lead nowhere, and loops over too much of it."""
    for term in rule_terms(rule):
        if term.kind in ("var", "ref"):
            yield from _package(scene, module, term)
            yield from _member(scene, module, rule, term)
    for body in rule_bodies(rule):
        sizes = [
            size
            for statement in body
            if statement.kind == "some_in"
            and (size := _size(scene, module, rule, statement.terms[-1])) is not None
        ]
        if sizes and prod(sizes) > MOST_STEPS:
            yield finding(
                module,
                rule.position,
                "review.slow",
                f"its loops take {prod(sizes):,} steps for one answer, and the evaluator is"
                " stopped after a quarter of a second",
                "look entries up (`table[key]`, `x in table`) instead of comparing each with each",
            )


def _package(scene: Scene, module: Module, term: Term) -> Iterator[Finding]:
    path = scene.names.resolve(module, term)
    if path is None or path[0] != "data" or None in path[:3] or len(path) < 2:
        return
    if path[:3] in _COLLECTIONS and (len(path) == 3 or path[:3] == TABLES or path[3] is None):
        return
    if not any(True for _ in scene.names.reached(path)) and not scene.names.above(path):
        name = ".".join(step or "_" for step in path)
        yield finding(
            module,
            term.position,
            "review.unknown_package",
            f"nothing is called `{name}`, so this has no value: `not` over it always holds",
            "correct the name, or add the package to the folder",
        )


def _member(scene: Scene, module: Module, rule: Rule, term: Term) -> Iterator[Finding]:
    for path in scene.members_of(module, rule, term):
        if path[:3] != TABLES or len(path) < 5 or path[3] not in scene.tables:
            continue
        found: list[JsonValue] = [scene.tables[path[3]]]
        for at, step in enumerate(path[4:], 4):
            below = [each for one in found for each in _below(one, step)]
            if not below:
                known = _known(found)
                if known and step not in _optional(path[3]):
                    yield finding(
                        module,
                        term.position,
                        "review.unknown_member",
                        f"the table {path[3]} has no `{'.'.join(path[4 : at + 1])}`",
                        f"it is one of {', '.join(known)}",
                    )
                break
            found = below


@cache
def _optional(table: str) -> frozenset[str]:
    """The members the schema of a shipped table names, which one table may do without."""
    path = schema_path(table, library=False)
    if path is None:
        return frozenset()
    pending: list[JsonValue] = [json.loads(path.read_text("utf-8"))]
    found: set[str] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            found.update(each.get("properties", {}))
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return frozenset(found)


def _below(value: JsonValue, step: str) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values()) if step == "*" else [value[step]] if step in value else []
    if isinstance(value, list):
        return list(value) if step == "*" else []
    return []


def _known(values: list[JsonValue]) -> list[str]:
    """The members there are where the last step was looked for; none where it is a list."""
    found = {name for value in values if isinstance(value, dict) for name in value}
    return sorted(found)[:20]


def _size(scene: Scene, module: Module, rule: Rule, term: Term) -> int | None:
    for path in scene.members_of(module, rule, term):
        if path[:3] != TABLES or len(path) < 4 or "*" in path:
            continue
        value: JsonValue = scene.tables
        for step in path[3:]:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, dict | list):
            return len(value)
    return None
