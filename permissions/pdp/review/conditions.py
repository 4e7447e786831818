"""Findings about conditions: those that always hold, never hold, or say the same twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_bodies, rule_terms, static_path, walk_body
from permissions.pdp.rego.names import absolute
from permissions.pdp.rego.signatures import BUILTINS
from permissions.pdp.review.scene import (
    TABLES,
    finding,
    is_literal,
    key,
    literal_value,
    statement_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.rego.names import Path
    from permissions.pdp.review.scene import Key, Scene

_COMPARES = ("==", "!=", "<", "<=", ">", ">=", "in", "=")
_FULL = ("array", "set", "object", "comprehension", "string", "number")


def check_conditions(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """Statements that decide nothing, and statements that exclude each other."""
    locals_ = scene.locals_of(rule)
    for body in rule_bodies(rule):
        for statement in body:
            if statement.kind in ("expression", "not"):
                yield from _statement(scene, module, statement, locals_)
        yield from _contradictions(module, body)
    yield from _unused(scene, module, rule)


def _statement(
    scene: Scene, module: Module, statement: Statement, locals_: Mapping[str, Term]
) -> Iterator[Finding]:
    term = statement.terms[0]
    if term.kind == "infix" and term.value in _COMPARES and all(map(is_literal, term.terms)):
        yield finding(
            module,
            term.position,
            "review.constant",
            "this compares two values that are written here, so it says nothing of the call",
            "compare a member of the input, or remove the line",
        )
        return
    if (full := _always(scene, module, term, locals_)) is None:
        return
    holds = "never holds" if statement.kind == "not" else "always holds"
    yield finding(
        module,
        statement.position,
        "review.always_holds",
        f"{full} is no condition: it has a value even when it is empty, so this {holds}",
        "ask for what is in it: `count(...) > 0`, `== set()`, or `some x in ...`",
    )


def _always(
    scene: Scene, module: Module, term: Term, locals_: Mapping[str, Term]
) -> str | None:
    """What a term is that is true whatever it holds, in words."""
    if term.kind == "var" and term.value in locals_:
        term = locals_[term.value]
    if term.kind in _FULL:
        return f"a {term.value if term.kind == 'comprehension' else term.kind}"
    if scene.is_set_rule(module, term):
        return f"the set `{'.'.join(static_path(term))}`"
    if (
        term.kind == "call"
        and term.value in BUILTINS
        and not scene.names.called(module, term.value)
    ):
        signature = BUILTINS[term.value]
        if len(term.terms) <= len(signature.arguments) and not signature.result & {
            "boolean",
            "any",
        }:
            return f"what `{term.value}` gives"
    return None


def _contradictions(module: Module, body: tuple[Statement, ...]) -> Iterator[Finding]:
    """Lines of one body that no value satisfies together."""
    left: dict[Key, set[str]] = {}
    for statement in body:
        if statement.kind != "expression" or statement.mocks:
            continue
        term = statement.terms[0]
        if term.kind != "infix" or len(term.terms) != 2:
            continue
        compared, wanted = term.terms
        if term.value in ("==", "=") and is_literal(compared):
            compared, wanted = wanted, compared
        if term.value in ("==", "=") and is_literal(wanted):
            values = {repr(literal_value(wanted))}
        elif term.value == "in" and wanted.kind in ("array", "set") and is_literal(wanted):
            values = {repr(literal_value(each)) for each in wanted.terms}
        else:
            continue
        if compared.kind not in ("var", "ref") or any(t.value == "_" for t in compared.terms):
            continue
        before = left.setdefault(key(compared), set(values))
        if not before & values:
            yield finding(
                module,
                term.position,
                "review.contradiction",
                "no value is this and what an earlier line of the body asks of it",
                "write two rules, or `in {..., ...}`, where either will do",
            )
        before &= values


def _unused(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    read = [static_path(t)[0] for t in rule_terms(rule) if static_path(t)]
    for name in scene.locals_of(rule):
        if read.count(name) == 1 and name != "_":
            at = next(t for t in rule_terms(rule) if static_path(t) == (name,))
            yield finding(
                module,
                at.position,
                "review.unused_local",
                f"`{name}` is set and never read",
                "compare with it, or remove it",
            )


def check_allow(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """An `allow` that asks nothing of the call, or only what the agent itself says."""
    if rule.path != ("allow",) or module.package[1:2] == ("layers",):
        return
    for body in rule.bodies or ((),):
        asked = _asked(scene, module, body, frozenset())
        if not asked:
            yield finding(
                module,
                rule.position,
                "review.allows_everything",
                "nothing of the call is asked for here, so this allows every call",
                "add the condition, as in `if input.action.properties.effect == ...`",
            )
        elif all(path[:4] == ("input", "resource", "properties", "args") for path in asked):
            yield finding(
                module,
                rule.position,
                "review.said_by_agent",
                "only arguments are asked for, and the agent writes those itself",
                "ask for the tool (`input.resource.id`) or who asks (`input.subject`), too",
            )


def _asked(
    scene: Scene, module: Module, body: tuple[Statement, ...], above: frozenset[Path]
) -> set[Path]:
    """The paths of the input and of the tables that a body depends on."""
    found: set[Path] = set()
    for term in walk_body(body):
        if term.kind == "call":
            reached = [scene.names.resolve_name(module, term.value)]
        elif term.kind in ("var", "ref"):
            pattern = scene.names.resolve(module, term)
            if pattern is None:
                continue
            path = tuple("*" if step is None else step for step in pattern)
            if path[0] == "input" or path[:3] == TABLES:
                found.add(path)
                continue
            reached = list(scene.names.reached(pattern))
        else:
            continue
        for path in {each for each in reached if each and each not in above}:
            for rule in scene.names.rules_at(path):
                home = scene.names.home(rule)
                inner = tuple(each for one in rule.bodies for each in one)
                found |= _asked(scene, home, inner, above | {path})
                found |= _values(scene, home, rule, above | {path})
    return found


def _values(scene: Scene, home: Module, rule: Rule, above: frozenset[Path]) -> set[Path]:
    from permissions.pdp.rego.ast import Statement

    lines = tuple(Statement("expression", v.position, (v,)) for v in rule.values)
    return _asked(scene, home, lines, above)


def check_twins(module: Module) -> Iterator[Finding]:
    """Rules that are written twice, and values that two clauses may both give."""
    seen: dict[Key, Rule] = {}
    for rule in module.rules:
        whole: Key = (
            rule.kind,
            key(rule.head),
            tuple(map(key, rule.arguments)),
            tuple(map(key, rule.values)),
            tuple(tuple(map(statement_key, body)) for body in rule.bodies),
        )
        first = seen.setdefault(whole, rule)
        if first is not rule:
            yield finding(
                module,
                rule.position,
                "review.said_twice",
                f"this rule stands at line {first.position.line} already",
                "remove it, or correct the copy",
            )
    yield from _two_values(module)


def _two_values(module: Module) -> Iterator[Finding]:
    clauses: dict[Path, list[Rule]] = {}
    for rule in module.rules:
        if rule.kind == "value" and len(rule.values) == 1 and len(rule.bodies) == 1:
            clauses.setdefault(absolute(module, rule), []).append(rule)
    for rules in clauses.values():
        for at, rule in enumerate(rules):
            for other in rules[:at]:
                one, two = rule.values[0], other.values[0]
                if not (is_literal(one) and is_literal(two)) or key(one) == key(two):
                    continue
                if rule.is_computed or _exclude(rule.bodies[0], other.bodies[0]):
                    continue
                yield finding(
                    module,
                    rule.position,
                    "review.two_values",
                    f"`{'.'.join(rule.path)}` has another value at line {other.position.line},"
                    " and nothing says that not both hold; then every call is denied",
                    "join them with `else`, or let the conditions exclude each other",
                )


_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


def _exclude(one: tuple[Statement, ...], other: tuple[Statement, ...]) -> bool:
    """Whether two bodies cannot both hold, as far as is plain to see."""
    for first in one:
        for second in other:
            terms = (*first.terms[:1], *second.terms[:1])
            if len(terms) < 2:
                continue
            left, right = terms
            if {first.kind, second.kind} == {"expression", "not"} and key(left) == key(right):
                return True
            if left.kind != "infix" or right.kind != "infix" or first.kind != second.kind:
                continue
            if key(left.terms[0]) != key(right.terms[0]):
                continue
            same = key(left.terms[-1]) == key(right.terms[-1])
            if same and _OPPOSITE.get(str(left.value)) == right.value:
                return True
            both_literal = all(is_literal(side.terms[-1]) for side in (left, right))
            if left.value == right.value == "==" and not same and both_literal:
                return True
    return False
