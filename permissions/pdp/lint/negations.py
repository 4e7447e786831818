"""Findings about `not`: what is negated must have a value, or the engines differ.

OPA takes the parts of a negated expression out and binds them before it: with one of them
undefined the whole body fails. In the embedded engine the negation then holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import parts, rule_bodies, static_path
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.signatures import VALUED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.names import Names, Path


def check_negations(module: Module, rule: Rule, names: Names) -> Iterator[Finding]:
    """`not` over something with an undefined part.

    There the engines differ: OPA's body fails, regorus' holds. `not` over a plain reference,
    or over `==` between references, is the same in both; so is it when another line of the
    body fails by itself as long as the part is undefined.
    """
    for body in rule_bodies(rule):
        needed = {path for statement in body for path in _needed(statement)}
        for statement in body:
            if statement.kind != "not":
                continue
            if len(body) == 1 and statement.terms[0].value is True:
                yield Finding(
                    module.path,
                    statement.position,
                    "rego.constant_not",
                    "`not true` is all of a body, and OPA may leave it out",
                    "remove the line, or the rule",
                )
            for term in _loose_parts(statement.terms[0], module, names):
                if _whole_path(term) not in needed:
                    yield Finding(
                        module.path,
                        term.position,
                        "rego.unbound_not",
                        "a part of what `not` negates may be undefined, and then OPA does not hold",
                        "where it has to hold (a denial), write `_ok if ...` and `not _ok`; where it"
                        " must not (an allow), bind the part before: `x := ...`, then `not ... x ...`",
                    )


def _needed(statement: Statement) -> Iterator[Path]:
    """References without which a statement cannot hold."""
    if statement.kind in ("expression", "some_in") and not statement.mocks:
        pending = list(statement.terms)
        while pending:
            term = pending.pop()
            path = _whole_path(term)
            if path and path != ("_",):  # each `_` is a variable of its own
                yield path
            if term.kind != "comprehension":
                pending += parts(term)


def _whole_path(term: Term) -> Path | None:
    path = static_path(term)
    return path if path and len(path) == max(1, len(term.terms)) else None


def _loose_parts(term: Term, module: Module, names: Names) -> Iterator[Term]:
    """The parts of a negated term that may be undefined and must not be."""
    if term.kind == "infix" and term.value in ("==", "="):
        for side in term.terms:
            inner = parts(side) if side.kind in ("var", "ref") else (side,)
            yield from _unsure(inner, module, names)
    else:
        yield from _unsure(parts(term), module, names)


def _unsure(terms: tuple[Term, ...], module: Module, names: Names) -> Iterator[Term]:
    for term in terms:
        if term.kind in ("var", "ref"):
            if not _is_always_defined(term, module, names):
                yield term
        elif term.kind == "call" and term.value not in VALUED:
            yield term
        elif term.kind != "comprehension":
            yield from _unsure(term.terms, module, names)


def _is_always_defined(term: Term, module: Module, names: Names) -> bool:
    if term.kind == "var" and names.is_local(module, term.value):
        return bool(term.value != "_")
    return names.is_total(module, term)
