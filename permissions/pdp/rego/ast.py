"""Rego syntax trees as small immutable values, and ways to walk them.

`permissions.pdp.rego.reader` makes them. References and call names are flattened: `a.b[x].c`
is one `ref` of four terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonValue

TermKind = Literal[
    "var",
    "string",
    "number",
    "boolean",
    "null",
    "array",
    "set",
    "object",
    "comprehension",
    "ref",
    "call",
    "infix",
    "unary",
]
StatementKind = Literal["expression", "not", "some", "some_in", "every"]


class Position(NamedTuple):
    """Line and column, from 1, in characters as editors count them."""

    line: int
    column: int


class Term(NamedTuple):
    """An expression.

    `value` is the literal, the name of a `var` or `call`, the operator of an `infix`, or the
    kind of a `comprehension` (`array`, `set`, `object`). `terms` are its parts: the elements,
    the alternating keys and values of an `object`, the operands, the arguments, the head of a
    comprehension, or the base and path of a `ref`. `body` belongs to comprehensions. `span` is
    where it stands in the text, in bytes of UTF-8, its end excluded.
    """

    kind: TermKind
    position: Position
    value: JsonValue = None
    terms: tuple[Term, ...] = ()
    body: tuple[Statement, ...] = ()
    span: tuple[int, int] = (0, 0)


class Statement(NamedTuple):
    """One line of a body.

    `terms` hold the expression; key, value and collection of `some .. in`; or the domain of
    `every`. `names` are what `some` and `every` declare. `mocks` are targets and values of
    `with`. `start` is its first byte in the text.
    """

    kind: StatementKind
    position: Position
    terms: tuple[Term, ...] = ()
    names: tuple[Term, ...] = ()
    body: tuple[Statement, ...] = ()
    mocks: tuple[tuple[Term, Term], ...] = ()
    start: int = 0


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule: its head reference, its form, and its bodies with their values.

    `span` is where it stands in the text, as a term's. What is in it is walked once: a dozen
    checks look at every rule.
    """

    position: Position
    kind: Literal["value", "set", "function", "default"]
    head: Term
    arguments: tuple[Term, ...] = ()
    values: tuple[Term, ...] = ()
    bodies: tuple[tuple[Statement, ...], ...] = ()
    clause_values: tuple[Term | None, ...] = ()
    """What each body gives, or a rule without one; None is `true`."""
    span: tuple[int, int] = (0, 0)
    body_spans: tuple[tuple[int, int], ...] = ()
    """Where each body stands, its braces included; nowhere when it has no statement."""

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The constant beginning of the head: `p.q[x].r` is `("p", "q")`."""
        return static_path(self.head)

    @property
    def is_unconditional(self) -> bool:
        """Whether some clause of a rule of one value has no body that may fail.

        Its value may be undefined all the same: `query := input.resource.properties.args.query`.
        """
        always = not self.bodies or any(not body for body in self.bodies)
        return self.kind == "value" and always

    @property
    def is_computed(self) -> bool:
        """Whether its head has steps that are computed: `p[x]`."""
        return len(self.path) < len(self.head.terms)

    @cached_property
    def all_terms(self) -> tuple[Term, ...]:
        """See `rule_terms`."""
        found = walk_terms((*parts(self.head), *self.arguments, *self.values))
        for body in self.bodies:
            _add_terms_of(body, found)
        return tuple(found)

    @cached_property
    def all_statements(self) -> tuple[Statement, ...]:
        """See `rule_statements`."""
        found: list[Statement] = []
        for body in self.bodies:
            _add_statements(body, found, into_terms=True)
        _add_nested((self.head, *self.arguments, *self.values), found)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Import:
    """`import path as alias`."""

    position: Position
    path: tuple[str, ...]
    alias: str


@dataclass(frozen=True, slots=True)
class Module:
    """One file."""

    path: str
    package: tuple[str, ...]
    position: Position
    imports: tuple[Import, ...] = ()
    rules: tuple[Rule, ...] = field(default=())


def static_path(term: Term) -> tuple[str, ...]:
    """The constant beginning of a reference, the base's name first; `()` for other terms."""
    if term.kind == "var":
        return (term.value,)
    if term.kind != "ref" or term.terms[0].kind != "var":
        return ()
    path = [term.terms[0].value]
    for part in term.terms[1:]:
        if part.kind != "string":
            break
        path.append(part.value)
    return tuple(path)


def walk_terms(terms: tuple[Term, ...]) -> list[Term]:
    """Every term under `terms`, parents first, bodies of comprehensions included.

    The variable a reference begins with is part of the reference, no term of its own.
    """
    found: list[Term] = []
    _add_terms(terms, found)
    return found


def _add_terms(terms: tuple[Term, ...], found: list[Term]) -> None:
    for term in terms:
        found.append(term)
        if term.terms:
            _add_terms(parts(term), found)
        if term.body:
            _add_terms_of(term.body, found)


def parts(term: Term) -> tuple[Term, ...]:
    """The terms under a term, without the variable that a reference begins with."""
    if term.kind == "ref" and term.terms[0].kind == "var":
        return term.terms[1:]
    return term.terms


def walk_body(body: tuple[Statement, ...]) -> list[Term]:
    """Every term of a body."""
    found: list[Term] = []
    _add_terms_of(body, found)
    return found


def _add_terms_of(body: tuple[Statement, ...], found: list[Term]) -> None:
    for statement in walk_statements(body, into_terms=False):
        _add_terms(statement.terms, found)
        for mock in statement.mocks:
            _add_terms(mock, found)


def walk_statements(body: tuple[Statement, ...], *, into_terms: bool = True) -> list[Statement]:
    """Every statement of a body, those of `every` and of comprehensions included."""
    found: list[Statement] = []
    _add_statements(body, found, into_terms=into_terms)
    return found


def _add_statements(
    body: tuple[Statement, ...], found: list[Statement], *, into_terms: bool
) -> None:
    for statement in body:
        found.append(statement)
        if statement.body:
            _add_statements(statement.body, found, into_terms=into_terms)
        if into_terms:
            _add_nested(statement.terms, found)
            for _, value in statement.mocks:
                _add_nested((value,), found)


def _add_nested(terms: tuple[Term, ...], found: list[Statement]) -> None:
    for term in terms:
        if term.body:
            _add_statements(term.body, found, into_terms=True)
        if term.terms:
            _add_nested(term.terms, found)


def rule_terms(rule: Rule) -> tuple[Term, ...]:
    """Every term of a rule: computed steps of the head, arguments, values and bodies."""
    return rule.all_terms


def rule_statements(rule: Rule) -> tuple[Statement, ...]:
    """Every statement of a rule, however deep."""
    return rule.all_statements


def rule_bodies(rule: Rule) -> Iterator[tuple[Statement, ...]]:
    """Every body of a rule: its own, those of `every`, and those of comprehensions."""
    yield from rule.bodies
    for statement in rule_statements(rule):
        if statement.body:
            yield statement.body
    for term in rule_terms(rule):
        if term.body:
            yield term.body


def string_constant(term: Term) -> str | None:
    """The text of a string literal, else None."""
    value: Any = term.value
    return value if term.kind == "string" else None
