"""Rego syntax trees as small immutable values, and ways to walk them.

`permissions.pdp.rego.reader` makes them. References and call names are flattened: `a.b[x].c`
is one `ref` of four terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its head reference, its form, and its bodies with their values.

    `span` is where it stands in the text, as a term's.
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

    @property
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


def walk_terms(terms: tuple[Term, ...]) -> Iterator[Term]:
    """Every term under `terms`, parents first, bodies of comprehensions included.

    The variable a reference begins with is part of the reference, no term of its own.
    """
    for term in terms:
        yield term
        yield from walk_terms(parts(term))
        yield from walk_body(term.body)


def parts(term: Term) -> tuple[Term, ...]:
    """The terms under a term, without the variable that a reference begins with."""
    if term.kind == "ref" and term.terms[0].kind == "var":
        return term.terms[1:]
    return term.terms


def walk_body(body: tuple[Statement, ...]) -> Iterator[Term]:
    """Every term of a body."""
    for statement in walk_statements(body, into_terms=False):
        yield from walk_terms(statement.terms)
        for target, value in statement.mocks:
            yield from walk_terms((target, value))


def walk_statements(
    body: tuple[Statement, ...], *, into_terms: bool = True
) -> Iterator[Statement]:
    """Every statement of a body, those of `every` and of comprehensions included."""
    for statement in body:
        yield statement
        yield from walk_statements(statement.body, into_terms=into_terms)
        if into_terms:
            mocked = tuple(value for _, value in statement.mocks)
            yield from _nested(statement.terms + mocked)


def _nested(terms: tuple[Term, ...]) -> Iterator[Statement]:
    for term in terms:
        yield from walk_statements(term.body)
        yield from _nested(term.terms)


def rule_terms(rule: Rule) -> Iterator[Term]:
    """Every term of a rule: computed steps of the head, arguments, values and bodies."""
    yield from walk_terms((*parts(rule.head), *rule.arguments, *rule.values))
    for body in rule.bodies:
        yield from walk_body(body)


def rule_statements(rule: Rule) -> Iterator[Statement]:
    """Every statement of a rule, however deep."""
    for body in rule.bodies:
        yield from walk_statements(body)
    yield from _nested((rule.head, *rule.arguments, *rule.values))


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
