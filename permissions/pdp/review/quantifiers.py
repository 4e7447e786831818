"""Findings about "some" and "every": rules that ask about one where all were meant, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_bodies, static_path, walk_terms
from permissions.pdp.review.scene import finding, is_literal, key, names_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.review.scene import Scene

_ACTED_ON = frozenset({"targets", "changes", "commands"})


def check_quantifiers(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """What a rule asks of the members of a list."""
    for body in rule_bodies(rule):
        yield from _unequal(module, body)
        if rule.path == ("allow",) and rule.kind == "set":
            yield from _empty(scene, module, rule, body)
            yield from _any(scene, module, rule, body)


def _unequal(module: Module, body: tuple[Statement, ...]) -> Iterator[Finding]:
    """`xs[_] != "a"`: true as soon as any other member is there."""
    items = {
        str(statement.terms[-2].value)
        for statement in body
        if statement.kind == "some_in" and statement.terms[-2].kind == "var"
    }
    read = names_in(body)
    for statement in body:
        if statement.kind != "expression":
            continue
        term = statement.terms[0]
        if term.kind != "infix" or term.value != "!=":
            continue
        for side, other in (term.terms, term.terms[::-1]):
            if not is_literal(other):
                continue
            wild = side.kind == "ref" and side.terms[-1].value == "_"
            alone = side.kind == "var" and side.value in items and read.count(side.value) == 2
            if wild or alone:
                yield finding(
                    module,
                    term.position,
                    "review.unequal_in_loop",
                    "this holds as soon as one member differs, not when none is equal",
                    "write `not ... in ...`, or `every x in ... { x != ... }`",
                )


def _empty(
    scene: Scene, module: Module, rule: Rule, body: tuple[Statement, ...]
) -> Iterator[Finding]:
    """`every` over what may hold nothing, where nothing then allows the call."""
    for statement in body:
        if statement.kind != "every" or not _acts_on(scene, module, rule, statement.terms[0]):
            continue
        domain = key(statement.terms[0])
        others = (each for each in body if each is not statement)
        if any(key(term) == domain for each in others for term in walk_terms(each.terms)):
            continue
        yield finding(
            module,
            statement.position,
            "review.every_of_nothing",
            "`every` holds when there is nothing to look at, so a call without any is allowed",
            "ask for one first: `count(...) > 0`",
        )


def _any(
    scene: Scene, module: Module, rule: Rule, body: tuple[Statement, ...]
) -> Iterator[Finding]:
    """`some` over what the call acts on, with no word about the others."""
    if any(each.kind in ("every", "not") for each in body) or _counts(body):
        return
    for statement in body:
        if statement.kind == "some_in":
            domain = statement.terms[-1]
        elif statement.kind == "expression" and (wild := _iterated(statement)) is not None:
            domain = wild
        else:
            continue
        if _acts_on(scene, module, rule, domain):
            yield finding(
                module,
                statement.position,
                "review.some_not_every",
                "one good target allows the call, whatever its other targets are",
                "write `every x in ... { ... }` after `count(...) > 0`",
            )


def _iterated(statement: Statement) -> Term | None:
    for term in walk_terms(statement.terms):
        if term.kind == "ref" and any(step.value == "_" for step in term.terms[1:]):
            return term
    return None


def _counts(body: tuple[Statement, ...]) -> bool:
    """Whether a line says how many there are."""
    return any(
        term.kind == "call" and term.value == "count"
        for each in body
        for term in walk_terms(each.terms)
    )


def _acts_on(scene: Scene, module: Module, rule: Rule, domain: Term) -> bool:
    if (
        domain.kind == "var"
        and (bound := scene.locals_of(rule).get(str(domain.value))) is not None
    ):
        domain = bound
    if domain.kind == "call":
        return str(domain.value).rpartition(".")[2] == "targets" and bool(
            scene.names.called(module, str(domain.value))
        )
    if any(_ACTED_ON & set(path) for path in scene.members_of(module, rule, domain)):
        return True
    return bool(_ACTED_ON & set(static_path(domain)))
