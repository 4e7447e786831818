"""Forms of Rego that the engine takes otherwise than OPA, and that translation mends.

The linter asks here, too: what is none of these forms and would mean something else is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_statements, rule_terms, walk_terms
from permissions.pdp.rego.signatures import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.names import Names


def output_argument(module: Module, call: Term, names: Names) -> bool:
    """Whether a call has one argument more than its function takes: what its value must be."""
    if call.kind != "call" or call.value == "walk":
        return False
    rules = names.called(module, call.value)
    if rules:
        return (
            all(len(rule.arguments) == len(call.terms) - 1 for rule in rules)
            and len(call.terms) > 1
        )
    signature = BUILTINS.get(call.value)
    return signature is not None and len(signature.arguments) == len(call.terms) - 1


def matched_whole(statement: Statement) -> tuple[Term, Term] | None:
    """An object as a pattern and what it is matched with, where translation makes it whole.

    That is `{"a": v} := x`, `{"a": v} = x.y` either way round, and `some {"a": v} in xs`, with
    texts for keys and no object further in.
    """
    if statement.kind == "some_in" and len(statement.terms) == 2:
        pattern, other = statement.terms
        return (pattern, other) if _is_flat(pattern) else None
    whole = statement.terms[0] if statement.kind == "expression" else None
    if whole is None or whole.kind != "infix" or whole.value not in (":=", "="):
        return None
    left, right = whole.terms
    values = ("ref", "call", "comprehension")
    if _is_flat(left) and (whole.value == ":=" or right.kind in values):
        return left, right
    return (right, left) if _is_flat(right) and left.kind in values else None


def _is_flat(term: Term) -> bool:
    return (
        term.kind == "object"
        and all(key.kind == "string" for key in term.terms[::2])
        and all(each.kind != "object" for each in walk_terms(term.terms))
    )


def iterates_over_walk(statement: Statement, rule: Rule) -> Term | None:
    """The call of `[p, v] := walk(x)`, whose locals are bound nowhere else."""
    if statement.kind != "expression" or statement.terms[0].kind != "infix":
        return None
    whole = statement.terms[0]
    if whole.value not in (":=", "=") or not _is_plain_walk(whole.terms[1]):
        return None
    bound = [term.value for term in walk_terms(whole.terms[:1]) if term.kind == "var"]
    elsewhere = [name for name in _declared(rule) if name != "_"]
    once = all(elsewhere.count(name) <= (whole.value == ":=") for name in bound)
    return whole.terms[1] if once else None


def _is_plain_walk(term: Term) -> bool:
    return term.kind == "call" and term.value == "walk" and len(term.terms) == 1


def _declared(rule: Rule) -> Iterator[str]:
    """The names of locals, once for each time that they are declared."""
    for argument in walk_terms(rule.arguments):
        if argument.kind == "var":
            yield argument.value
    for statement in rule_statements(rule):
        for name in statement.names:
            yield name.value
    for term in rule_terms(rule):
        if term.kind == "infix" and term.value == ":=":
            for target in walk_terms(term.terms[:1]):
                if target.kind == "var":
                    yield target.value
