"""A bundle as the reviewer sees it: its trees, what its names mean, and which rules widen.

A rule *widens* when the more often it holds, the more is allowed: `allow`, what it asks for,
and what a denial asks for under `not`. There a pattern that matches too much opens something;
in a rule that narrows the same pattern errs on the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.pdp.lint.input import InputLinter
from permissions.pdp.rego.ast import (
    parts,
    static_path,
    string_constant,
    walk_body,
    walk_terms,
)
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.names import Names, absolute
from permissions.pdp.rego.types import assigned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from permissions.model import JsonObject
    from permissions.pdp.lint.input_schema import Shape
    from permissions.pdp.rego.ast import Module, Position, Rule, Statement, Term
    from permissions.pdp.rego.names import Path

_OPENING = {"allow": True, "deny": False, "require_approval": False}
TABLES = ("data", "wardline", "tables")


@dataclass(frozen=True, slots=True)
class Known:
    """What a review knows beside the bundle; None where nobody said.

    Attributes:
        groups: the approver groups that somebody is in.
        environment: the name of the environment the broker runs in.
    """

    groups: frozenset[str] | None = None
    environment: str | None = None


class Scene:
    """The modules and tests of one bundle, with what can be said about their terms."""

    def __init__(
        self,
        modules: Sequence[Module],
        tests: Sequence[Module],
        tables: JsonObject,
        known: Known,
    ) -> None:
        self.modules = modules
        self.tests = tests
        self.tables = tables
        self.known = known
        self.names = Names((*modules, *tests))
        self._shapes = InputLinter((*modules, *tests), self.names, tables)
        self._widening = _widening(modules, self.names)
        self._locals: dict[int, Mapping[str, Term]] = {}

    def locals_of(self, rule: Rule) -> Mapping[str, Term]:
        """What the locals of a rule are assigned."""
        if id(rule) not in self._locals:
            self._locals[id(rule)] = assigned(rule)
        return self._locals[id(rule)]

    def widens(self, module: Module, rule: Rule) -> bool:
        """Whether more is allowed the more often this rule holds."""
        return (absolute(module, rule), True) in self._widening

    def narrows(self, module: Module, rule: Rule) -> bool:
        """Whether less is allowed the more often this rule holds."""
        return (absolute(module, rule), False) in self._widening

    def shape(self, module: Module, rule: Rule, term: Term) -> Shape | None:
        """What part of the input a term stands for; None when that is not plain to see."""
        return self._shapes.shape_of(module, rule, term)

    def rules(self, module: Module, term: Term) -> list[Rule]:
        """The rules whose value a variable or reference is, and nothing inside of it."""
        path = self.path(module, term)
        return [] if path is None else self.names.rules_at(path)

    def path(self, module: Module, term: Term) -> Path | None:
        """The absolute path of a term without computed steps."""
        pattern = self.names.resolve(module, term)
        if pattern is None or None in pattern:
            return None
        return tuple(step for step in pattern if step is not None)

    def is_set_rule(self, module: Module, term: Term) -> bool:
        """Whether a term is a rule of many values, which exists even when it is empty."""
        return any(each.kind == "set" for each in self.rules(module, term))

    def members_of(self, module: Module, rule: Rule, term: Term) -> Iterator[Path]:
        """Absolute paths the term stands for, through locals and rules of one value."""
        yield from self._members(module, rule, term, 6)

    def _members(self, module: Module, rule: Rule, term: Term, depth: int) -> Iterator[Path]:
        if depth == 0 or term.kind not in ("var", "ref"):
            return
        base = term.terms[0] if term.kind == "ref" else term
        steps = tuple(
            string_constant(step) or "*"
            for step in (term.terms[1:] if term.kind == "ref" else ())
        )
        bound = self.locals_of(rule).get(base.value) if base.kind == "var" else None
        if bound is not None:
            for path in self._members(module, rule, bound, depth - 1):
                yield (*path, *steps)
            return
        pattern = self.names.resolve(module, term)
        if pattern is None:
            return
        path = tuple("*" if step is None else step for step in pattern)
        yield path
        for end in range(len(path), 2, -1):
            for each in self.names.rules_at(path[:end]):
                if each.kind == "value" and len(each.values) == 1:
                    home = self.names.home(each)
                    for found in self._members(home, each, each.values[0], depth - 1):
                        yield (*found, *path[end:])


def _widening(modules: Sequence[Module], names: Names) -> frozenset[tuple[Path, bool]]:
    homes: dict[Path, list[tuple[Module, Rule]]] = {}
    for module in modules:
        for rule in module.rules:
            homes.setdefault(absolute(module, rule), []).append((module, rule))
    pending = [
        (absolute(module, rule), _OPENING[rule.path[0]])
        for module in modules
        for rule in module.rules
        if rule.path[:1] and rule.path[0] in _OPENING and rule.kind == "set"
    ]
    seen: set[tuple[Path, bool]] = set()
    while pending:
        path, widens = at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        for module, rule in homes.get(path, ()):
            for body in rule.bodies:
                asked = _asked(module, body, names)
                pending.extend((found, widens != turned) for found, turned in asked)
            if rule.kind in ("value", "function"):
                named = _named(module, walk_terms(rule.values), names)
                pending.extend((found, widens) for found in named)
    return frozenset(seen)


def _asked(
    module: Module, body: tuple[Statement, ...], names: Names
) -> Iterator[tuple[Path, bool]]:
    """The rules a body asks for, and whether under `not`."""
    for statement in body:
        turned = statement.kind == "not"
        for path in _named(module, walk_terms(statement.terms), names):
            yield path, turned
        for path, inner in _asked(module, statement.body, names):
            yield path, inner != turned


def _named(module: Module, terms: Iterable[Term], names: Names) -> Iterator[Path]:
    for term in terms:
        if term.kind == "call":
            path = names.resolve_name(module, term.value)
            if path is not None and names.rules_at(path):
                yield path
        elif term.kind in ("var", "ref"):
            pattern = names.resolve(module, term)
            if pattern is not None and None not in pattern[:5] and pattern[0] == "data":
                fixed = tuple(step for step in pattern if step is not None)
                yield from (
                    fixed[:end]
                    for end in range(3, len(fixed) + 1)
                    if names.rules_at(fixed[:end])
                )


Key = tuple[object, ...]


def key(term: Term) -> Key:
    """A term without where it stands: two that are written alike have the same."""
    return (
        term.kind,
        repr(term.value),
        tuple(map(key, term.terms)),
        tuple(map(statement_key, term.body)),
    )


def statement_key(statement: Statement) -> Key:
    """A statement without where it stands."""
    return (
        statement.kind,
        tuple(map(key, statement.terms)),
        tuple(map(key, statement.names)),
        tuple(map(statement_key, statement.body)),
        tuple((key(target), key(value)) for target, value in statement.mocks),
    )


def is_literal(term: Term) -> bool:
    """Whether a term is written out: nothing in it has to be looked up."""
    if term.kind in ("string", "number", "boolean", "null"):
        return True
    return term.kind in ("array", "set", "object", "unary") and all(map(is_literal, term.terms))


def literal_value(term: Term) -> object:
    """The JSON value of a term that is written out; a set as a list."""
    if term.kind in ("array", "set"):
        return [literal_value(each) for each in term.terms]
    if term.kind == "object":
        keys, values = term.terms[::2], term.terms[1::2]
        return {
            str(literal_value(name)): literal_value(value)
            for name, value in zip(keys, values, strict=True)
        }
    return term.value


def names_in(body: tuple[Statement, ...]) -> list[str]:
    """The variables a body names, each as often as it does."""
    return [
        static_path(term)[0]
        for term in walk_body(body)
        if term.kind in ("var", "ref") and static_path(term)
    ]


def under(term: Term) -> Iterator[Term]:
    """A term and all below it."""
    yield term
    for each in parts(term):
        yield from under(each)


def finding(module: Module, position: Position, code: str, what: str, fix: str) -> Finding:
    """A finding at a position in a module."""
    return Finding(module.path, position, code, what, fix)
