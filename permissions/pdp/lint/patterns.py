"""Findings about what is matched and compared: where the engine's idea of a match is another."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import (
    rule_statements,
    rule_terms,
    static_path,
    walk_body,
    walk_terms,
)
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.signatures import BUILTINS
from permissions.pdp.rego.types import assigned, kinds_of
from permissions.pdp.regorus.forms import matched_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.names import Names

_ORDERINGS = ("<", "<=", ">", ">=")
_BY_VALUE = (*_ORDERINGS, "==", "!=", "+", "-", "*", "/", "%")
"""Where `1.0` is `1`, whatever is made of it."""
_UNORDERED = frozenset({"set", "object"})
_INDEXED = frozenset({"array", "object"})
_MOST_DIGITS = 15


def check_patterns(module: Module, rule: Rule, names: Names) -> Iterator[Finding]:
    """Object patterns, membership with a key, orderings, numbers and mocks of one rule."""
    locals_ = assigned(rule)
    compared = {id(number) for term in rule_terms(rule) for number in _by_value(term)}
    for pattern in _patterns(rule, names, module):
        yield _finding(
            module,
            pattern,
            "rego.object_pattern",
            "an object as a pattern matches part of an object here, and only a whole one in OPA",
            "match a name, then its members: `some x in xs`, `x.kind == ...`",
        )
    for term in rule_terms(rule):
        is_keyed = term.kind == "infix" and term.value == "in" and len(term.terms) == 3
        if is_keyed and not kinds_of(term.terms[2], locals_) <= _INDEXED:
            yield _finding(
                module,
                term,
                "rego.key_membership",
                "`key, value in collection` means something else for sets here than in OPA",
                "write `collection[key] == value`",
            )
        elif term.kind == "infix" and term.value in _ORDERINGS:
            if any(kinds_of(side, locals_) & _UNORDERED for side in term.terms):
                yield _finding(
                    module,
                    term,
                    "rego.unordered",
                    "sets and objects are ordered differently here than in OPA",
                    "compare their members, or what `count` says of them",
                )
        elif term.kind == "number" and (fault := _number_fault(term, id(term) in compared)):
            yield _finding(module, term, "rego.number", *fault)
    for statement in rule_statements(rule):
        yield from _mocks(module, statement, names)


def _by_value(term: Term) -> Iterator[Term]:
    """The numbers of a term that are compared or calculated with, and never written out."""
    is_asked = term.kind == "call" and str(term.value).startswith("is_")
    if is_asked or (term.kind == "infix" and term.value in _BY_VALUE):
        pending = list(term.terms)
        while pending:
            found = pending.pop()
            if found.kind == "number":
                yield found
            elif found.kind in ("array", "set", "object", "unary"):
                pending += found.terms


def _patterns(rule: Rule, names: Names, module: Module) -> Iterator[Term]:
    """Objects that are matched with something, and bind or leave out a part of it."""
    for argument in rule.arguments:
        yield from _objects(argument)
    translated: set[int] = set()
    for statement in rule_statements(rule):
        if whole := matched_whole(statement):
            translated.add(id(whole[0]))
        elif statement.kind == "some_in":
            for term in statement.terms[:-1]:
                yield from _objects(term)
    for found in (each for term in rule_terms(rule) for each in _matched(rule, term)):
        if id(found) in translated:
            continue
        inner = walk_terms(found.terms)
        if any(t.kind == "var" and names.is_local(module, t.value) for t in inner):
            yield found


def _matched(rule: Rule, term: Term) -> Iterator[Term]:
    """The objects on the sides of `=`, and on the left of `:=`."""
    if term.kind != "infix" or term.value not in (":=", "="):
        return
    if term.value == "=" and any(_is_bound_here(rule, side) for side in term.terms):
        return
    for side in term.terms[:1] if term.value == ":=" else term.terms:
        yield from _objects(side)


def _is_bound_here(rule: Rule, side: Term) -> bool:
    """Whether a side of `=` is a name that nothing else in the rule's bodies binds or tests."""
    if side.kind != "var":
        return False
    bodies = (t for body in rule.bodies for t in walk_body(body))
    return sum(static_path(t)[:1] == (side.value,) for t in bodies) == 1 and not any(
        t.value == side.value for t in walk_terms(rule.arguments)
    )


def _objects(term: Term) -> Iterator[Term]:
    """Objects in a pattern; what a call or comprehension holds is no pattern."""
    if term.kind == "object":
        yield term
    elif term.kind in ("array", "set"):
        for each in term.terms:
            yield from _objects(each)


def _number_fault(term: Term, is_compared: bool) -> tuple[str, str] | None:  # noqa: FBT001
    number = Decimal(str(term.value))
    if number == number.to_integral_value():
        if not -(2**63) <= number < 2**64:
            return (
                "an integer beyond 64 bits",
                "compare texts, or bound it in the tool's schema",
            )
        if not isinstance(term.value, int) and not is_compared:
            return "an integer written as a fraction", f"write {int(number)}"
        return None
    if len(number.as_tuple().digits) > _MOST_DIGITS:
        return f"a fraction of more than {_MOST_DIGITS} digits", "round it"
    return None


def _mocks(module: Module, statement: Statement, names: Names) -> Iterator[Finding]:
    for target, value in statement.mocks:
        replaced, by = (".".join(static_path(each)) for each in (target, value))
        is_builtin = by in BUILTINS and not names.called(module, by)
        if value.kind in ("var", "ref") and is_builtin:
            yield _finding(
                module,
                target,
                "rego.mock",
                f"`{replaced}` cannot be replaced by `{by}` here",
                "replace a rule of your own",
            )


def _finding(module: Module, term: Term, code: str, what: str, fix: str) -> Finding:
    return Finding(module.path, term.position, code, what, fix)
