"""Rules as OPA's compiler has them: flat lines whose terms hold no call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.model import JsonValue
    from permissions.pdp.rego.ast import Position

EQUALITY = "eq"
ROOTS = ("input", "data")
COLLECTIONS = ("array", "set", "object")
GENERATED = "__"
"""How names of locals begin that no policy wrote; a wildcard's begin with `_:`."""


class Node(NamedTuple):
    """A term: a literal, `var`, `ref` (base and steps), `array`, `set`, `object`, `comprehension`.

    An object alternates keys and values; a comprehension holds what it collects, its form as the
    value and its lines. A `function` is the name of a builtin that is no call, as `with` has it.

    A named tuple, because nodes are compared and looked up a hundred thousand times in one check.
    """

    kind: str
    value: JsonValue = None
    terms: tuple[Node, ...] = ()
    body: tuple[Line, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Every:
    """The locals and lines of `every`."""

    names: tuple[Node, ...]
    body: tuple[Line, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Line:
    """One line of a body.

    `operator` is the name of a builtin, the path of a rule, or None for a plain term; a call's
    last term may be the local that takes its value. `assigns` says that it was written `:=`.
    """

    position: Position
    operator: str | tuple[str, ...] | None
    terms: tuple[Node, ...]
    is_negated: bool = False
    assigns: bool = False
    mocks: tuple[tuple[Node, Node], ...] = ()
    every: Every | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """One body of a rule with what it gives; `key` of a set, else `value`."""

    position: Position
    path: tuple[Node, ...]
    arguments: tuple[Node, ...]
    value: Node
    is_set: bool
    body: tuple[Line, ...] = field(default=())


def string(text: str) -> Node:
    """A literal text."""
    return Node("string", text)


def variable(name: str) -> Node:
    """A local, `input` or `data`."""
    return Node("var", name)


def reference(path: Iterable[str]) -> Node:
    """A path that begins with `input` or `data`."""
    first, *rest = path
    return Node("ref", None, (variable(first), *map(string, rest)))


def is_scalar(node: Node) -> bool:
    """Whether it is a literal without parts."""
    return node.kind in ("string", "number", "boolean", "null")


def is_constant(node: Node) -> bool:
    """Whether it has a value before anything is evaluated."""
    return is_scalar(node) or (node.kind in COLLECTIONS and all(map(is_constant, node.terms)))


def needs_evaluation(node: Node) -> bool:
    """Whether a reference or comprehension is in it."""
    return node.kind in ("ref", "comprehension") or any(map(needs_evaluation, node.terms))


def children(node: Node) -> tuple[Node, ...]:
    """What is walked below a node besides its lines; a collection's constant parts aside."""
    return node.terms


def variables(
    node: Node,
    *,
    bases: bool = True,
    closures: bool = False,
    sets: bool = True,
    keys: bool = True,
) -> list[str]:
    """Names in a term.

    Args:
        node: the term.
        bases: also those that references begin with.
        closures: also those in comprehensions.
        sets: also those in sets.
        keys: also those in keys of objects.
    """
    found: list[str] = []
    pending = [node]
    while pending:
        each = pending.pop()
        kind, terms = each.kind, each.terms
        if kind == "var":
            found.append(str(each.value))
        elif kind == "comprehension":
            if closures:
                for line in each.body:
                    found += line_variables(line, closures=True)
                pending += terms
        elif terms and (sets or kind != "set"):
            if kind == "ref" and not bases:
                terms = terms[1:]
            elif kind == "object" and not keys:
                terms = terms[1::2]
            pending += terms
    return found


def line_variables(line: Line, *, closures: bool = False) -> list[str]:
    """Names in a line; in what it closes over only when asked."""
    found: list[str] = []
    for term in line.terms:
        found += variables(term, closures=closures)
    for target, value in line.mocks:
        for part in target.terms[1:]:
            found += variables(part, closures=closures)
        for part in value.terms[1:] if value.kind == "ref" else (value,):
            found += variables(part, closures=closures)
    if line.every and closures:
        found += (str(name.value) for name in line.every.names)
        for inner in line.every.body:
            found += line_variables(inner, closures=True)
    return found


def closure_variables(line: Line) -> Iterator[str]:
    """Names in the comprehensions and the `every` of a line."""
    for node in line_nodes(line):
        yield from _within(node)
    if line.every:
        for inner in line.every.body:
            yield from line_variables(inner, closures=True)


def _within(node: Node) -> Iterator[str]:
    if node.kind == "comprehension":
        yield from variables(node, closures=True)
    else:
        for term in node.terms:
            yield from _within(term)


def line_nodes(line: Line) -> Iterator[Node]:
    """The terms of a line, those of `with` included."""
    yield from line.terms
    for target, value in line.mocks:
        yield target
        yield value
