"""Findings about the input and the tables: members they never have, words nothing equals.

Both are rules that never fire. References are followed through rules of one value and locals
bound once (`some target in lib.targets("path")`), not through arguments of functions; what
cannot be told is left alone. A package is held to the input of the one question it is asked;
what all share (`lib`, `main`, layers) to that of any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from permissions.pdp.lint.contract import question_of
from permissions.pdp.lint.input_schema import (
    input_shape,
    member,
    members,
    words,
)
from permissions.pdp.rego.ast import (
    rule_statements,
    rule_terms,
    string_constant,
    walk_terms,
)
from permissions.pdp.rego.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.model import JsonObject
    from permissions.pdp.lint.input_schema import Shape
    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.names import Names

_TABLES = ("data", "wardline", "tables")
_DEPTH = 8
"""How far names are followed; circles of names are the compiler's to refuse."""


class InputLinter:
    """Judges the rules of one bundle."""

    def __init__(self, modules: tuple[Module, ...], names: Names, tables: JsonObject) -> None:
        self._names = names
        self._tables = tables
        self._homes = {id(rule): module for module in modules for rule in module.rules}
        self._scopes: dict[int, _Scope] = {}

    def check(self, module: Module, rule: Rule) -> Iterator[Finding]:
        """Members, tables and words of one rule."""
        scope = self._scope(module, rule)
        for term in rule_terms(rule):
            if term.kind == "ref":
                yield from self._unknown_member(scope, term)
                yield from self._unknown_table(scope, term)
            elif term.kind == "infix":
                yield from self._unknown_words(scope, term)

    def check_imports(self, module: Module) -> Iterator[Finding]:
        """Imports of members the input never has."""
        for imported in module.imports:
            shape: Shape | None = input_shape(question_of(module))
            for step in imported.path[1:] if imported.path[0] == "input" else ():
                below = member(shape, step) if shape else None
                if shape and below == ():
                    yield Finding(
                        module.path,
                        imported.position,
                        "rego.unknown_input",
                        f"the input has no {'.'.join(imported.path)}",
                        f"it is one of {', '.join(members(shape))}",
                    )
                shape = below

    def shape_of(self, module: Module, rule: Rule, term: Term) -> Shape | None:
        """What part of the input a term of a rule stands for; None when that is not plain."""
        return self._shape(self._scope(module, rule), term, _DEPTH)

    def _scope(self, module: Module, rule: Rule) -> _Scope:
        if id(rule) not in self._scopes:
            self._scopes[id(rule)] = _Scope(module, _bindings(rule))
        return self._scopes[id(rule)]

    def _unknown_member(self, scope: _Scope, term: Term) -> Iterator[Finding]:
        shape = self._shape(scope, term.terms[0], _DEPTH)
        said = str(term.terms[0].value)
        for step in term.terms[1:]:
            name = string_constant(step)
            if not shape:
                return
            below = member(shape, name)
            if below == ():
                known = members(shape)
                yield Finding(
                    scope.module.path,
                    term.position,
                    "rego.unknown_input",
                    f"the input has no {said}{_step(name)}",
                    f"it is one of {', '.join(known)}" if known else "nothing is below it",
                )
            said += _step(name)
            shape = below

    def _unknown_table(self, scope: _Scope, term: Term) -> Iterator[Finding]:
        pattern = self._names.resolve(scope.module, term)
        if pattern is None or len(pattern) < 4 or pattern[:3] != _TABLES:
            return
        name = pattern[3]
        if name is not None and name not in self._tables:
            known = ", ".join(sorted(self._tables)) or "none"
            yield Finding(
                scope.module.path,
                term.position,
                "rego.unknown_table",
                f"there is no table {name[:80]!r}",
                f"add data/{name[:80]}.json, or use one of: {known}",
            )

    def _unknown_words(self, scope: _Scope, term: Term) -> Iterator[Finding]:
        left, right = term.terms[-2:]
        pairs: list[tuple[Term, Term]] = []
        if term.value in ("==", "!=", "="):
            pairs = [(left, right), (right, left)]
        elif term.value == "in" and right.kind in ("array", "set"):
            pairs = [(left, word) for word in right.terms]
        elif term.value == "in" and left.kind == "string":
            shape = self._shape(scope, right, _DEPTH)
            items = member(shape, None) if shape else None
            yield from self._unknown_word(scope, left, items, right)
        for value, word in pairs:
            if word.kind == "string":
                shape = self._shape(scope, value, _DEPTH)
                yield from self._unknown_word(scope, word, shape, value)

    def _unknown_word(
        self, scope: _Scope, word: Term, shape: Shape | None, compared: Term
    ) -> Iterator[Finding]:
        known = words(shape) if shape else None
        if known is not None and word.value not in known:
            yield Finding(
                scope.module.path,
                compared.position,
                "rego.unknown_word",
                f"this is never {word.value[:80]!r}",
                f"it is one of {', '.join(sorted(each for each in known if each))}",
            )

    def _shape(self, scope: _Scope, term: Term, depth: int) -> Shape | None:
        """What a term may be; None when that is not plain to see."""
        if depth == 0:
            return None
        match term.kind:
            case "var":
                return self._variable(scope, term, depth - 1)
            case "ref":
                return self._reference(scope, term, depth - 1)
            case "call":
                rules = self._names.called(scope.module, term.value)
                return self._value(rules[0], depth - 1) if len(rules) == 1 else None
            case "comprehension" if term.value in ("array", "set"):
                items = self._shape(scope, term.terms[0], depth - 1)
                return tuple({"type": "array", "items": each} for each in items or ()) or None
            case _:
                return None

    def _variable(self, scope: _Scope, term: Term, depth: int) -> Shape | None:
        name = str(term.value)
        if name == "input":
            return input_shape(question_of(scope.module))
        if self._names.is_local(scope.module, name):
            bound = scope.bound.get(name)
            if bound is None:
                return None
            shape = self._shape(scope, bound.term, depth)
            return member(shape, None) if shape and bound.is_item else shape
        return self._named(scope, term, depth)

    def _reference(self, scope: _Scope, term: Term, depth: int) -> Shape | None:
        named = self._named(scope, term, depth)
        if named is not None:
            return named
        shape = self._shape(scope, term.terms[0], depth)
        for step in term.terms[1:]:
            shape = member(shape, string_constant(step)) if shape else None
        return shape

    def _named(self, scope: _Scope, term: Term, depth: int) -> Shape | None:
        """Of a path of the input through an import, or of a rule of one value."""
        pattern = self._names.resolve(scope.module, term)
        if pattern is None or None in pattern:
            return None
        if pattern[0] == "input":
            shape: Shape | None = input_shape(question_of(scope.module))
            for step in pattern[1:]:
                shape = member(shape, step) if shape else None
            return shape
        rules = self._names.rules_at(tuple(step or "" for step in pattern))
        return self._value(rules[0], depth) if len(rules) == 1 else None

    def _value(self, rule: Rule, depth: int) -> Shape | None:
        if rule.kind not in ("value", "function") or len(rule.values) != 1:
            return None
        home = self._scope(self._homes[id(rule)], rule)
        return self._shape(home, rule.values[0], depth)


@dataclass(frozen=True, slots=True)
class _Bound:
    """What a local is bound to: a value, or each item of one."""

    term: Term
    is_item: bool


@dataclass(frozen=True, slots=True)
class _Scope:
    module: Module
    bound: Mapping[str, _Bound] = field(default_factory=dict)


def _bindings(rule: Rule) -> Mapping[str, _Bound]:
    """Locals of a rule that are bound exactly once, whatever the scope."""
    found: list[tuple[str, _Bound | None]] = []
    for argument in walk_terms(rule.arguments):
        found += [(str(argument.value), None)] if argument.kind == "var" else []
    for statement in rule_statements(rule):
        if statement.kind == "some_in":
            item = statement.terms[-2]
            for name in statement.names:
                bound = _Bound(statement.terms[-1], is_item=True) if name is item else None
                found.append((str(name.value), bound))
        elif statement.kind == "every":
            *_, item = statement.names
            for name in statement.names:
                bound = _Bound(statement.terms[0], is_item=True) if name is item else None
                found.append((str(name.value), bound))
        else:
            found += [(str(name.value), None) for name in statement.names]
    for term in rule_terms(rule):
        if term.kind != "infix" or term.value != ":=":
            continue
        for target in walk_terms(term.terms[:1]):
            whole = _Bound(term.terms[1], is_item=False) if target is term.terms[0] else None
            found += [(str(target.value), whole)] if target.kind == "var" else []
    names = [name for name, _ in found]
    return {name: bound for name, bound in found if bound and names.count(name) == 1}


def _step(name: str | None) -> str:
    return "[_]" if name is None else f".{name[:80]}"
