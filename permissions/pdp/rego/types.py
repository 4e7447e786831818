"""The kind a Rego term surely has, where that is plain to see; nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_terms, static_path
from permissions.pdp.rego.signatures import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.pdp.rego.ast import Rule, Term

ANY = frozenset({"any"})

_OPERATORS = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), frozenset({"boolean"})),
    **dict.fromkeys(("+", "*", "/", "%"), frozenset({"number"})),
    **dict.fromkeys(("|", "&"), frozenset({"set"})),
}
_STRINGS = (
    ("input", "subject", "type"),
    ("input", "subject", "id"),
    ("input", "action", "name"),
    ("input", "action", "properties", "effect"),
    ("input", "action", "properties", "impact"),
    ("input", "resource", "type"),
    ("input", "resource", "id"),
    ("input", "resource", "properties", "args_digest"),
    ("input", "resource", "properties", "tool_digest"),
    ("input", "context", "run"),
    ("input", "context", "call"),
)
_MEMBERS: dict[tuple[str, ...] | None, frozenset[str]] = {
    **dict.fromkeys(_STRINGS, frozenset({"string"})),
    ("input", "context", "time"): frozenset({"number"}),
}
"""Members of the input whose kind the contract says."""


def assigned(rule: Rule) -> Mapping[str, Term]:
    """The terms that locals of a rule are assigned, for locals assigned exactly once."""
    once: dict[str, Term] = {}
    twice: set[str] = set()
    for term in rule_terms(rule):
        if term.kind == "infix" and term.value == ":=" and term.terms[0].kind == "var":
            name = term.terms[0].value
            if name in once:
                twice.add(name)
            once[name] = term.terms[1]
    return {name: term for name, term in once.items() if name not in twice}


def kinds_of(term: Term, locals_: Mapping[str, Term], depth: int = 8) -> frozenset[str]:
    """The kinds a term may have; `any` when it is not plain to see, `depth` steps on."""
    found = ANY
    if depth == 0:
        return found  # locals assigned in a circle are the compiler's to refuse
    match term.kind:
        case "string" | "number" | "boolean" | "null" | "array" | "set" | "object":
            found = frozenset({term.kind})
        case "comprehension":
            found = frozenset({term.value})
        case "unary":
            found = frozenset({"number"})
        case "infix" if term.value == "-":
            found = _difference([kinds_of(each, locals_, depth - 1) for each in term.terms])
        case "infix":
            found = _OPERATORS.get(term.value, ANY)
        case "call" if term.value in BUILTINS:
            found = BUILTINS[term.value].result
        case "var" if term.value in locals_:
            found = kinds_of(locals_[term.value], locals_, depth - 1)
        case "ref":
            found = _MEMBERS.get(static_path(term), ANY)
        case _:
            pass
    return found


def _difference(sides: list[frozenset[str]]) -> frozenset[str]:
    """Of two numbers or of two sets: one side tells what the other is."""
    either = frozenset({"number", "set"})
    for side in sides:
        either = either if "any" in side else either & side
    return either or frozenset({"number", "set"})


def may_be(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether a value can be of a kind in both."""
    return "any" in one or "any" in other or bool(one & other)
