"""The order in which the lines of a body can be evaluated, and locals that nothing binds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from permissions.pdp.compiler.form import (
    EQUALITY,
    ROOTS,
    Every,
    Line,
    Node,
    closure_variables,
    line_nodes,
    line_variables,
    variables,
)
from permissions.pdp.compiler.unification import bound_by, is_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from permissions.pdp.compiler.form import Clause

    Arity = Callable[[str | tuple[str, ...]], int]

Unbound = dict[Line, set[str]]


def order(clause: Clause, arity: Arity) -> tuple[Clause, Unbound]:
    """The clause with its lines in order, and the names that no line binds, by line."""
    bound = {*ROOTS, *(n for each in clause.arguments for n in variables(each, closures=True))}
    body, unbound = _order(clause.body, bound, arity)
    known = bound | {name for line in body for name in line_variables(line)}
    collected = (clause.value, *clause.path, *clause.arguments)
    free = {name for node in collected for name in variables(node, closures=True)} - known
    if free:
        line = Line(clause.position, None, ())
        unbound[line] = free
    return replace(clause, body=body), unbound


def _order(
    body: Sequence[Line], above: set[str], arity: Arity
) -> tuple[tuple[Line, ...], Unbound]:
    within = {name for line in body for name in line_variables(line)}
    bound = within & above
    missing: Unbound = {line: set(line_variables(line)) - bound for line in body}
    ordered: list[Line] = []
    while True:
        count = len(ordered)
        for line in body:
            if line in ordered:
                continue
            outputs = _outputs(line, bound, arity)
            closed = (set(closure_variables(line)) & within) - above
            if closed:
                unmet = closed - _outputs_of(ordered, bound, arity)
                if unmet and unmet == outputs:
                    continue  # it would close over what it binds itself
                if unmet:
                    missing[line] = unmet
            missing[line] = {n for n in missing[line] if n not in outputs and n not in bound}
            if not missing[line]:
                ordered.append(line)
                bound = bound | outputs
        if len(ordered) == count:
            break
    unbound = {line: names for line, names in missing.items() if names}
    return _closures(ordered, above, unbound, arity), unbound


def _closures(
    body: Sequence[Line], above: set[str], unbound: Unbound, arity: Arity
) -> tuple[Line, ...]:
    """The lines with the bodies in them ordered, too; what those do not bind is added."""
    bound = set(above)
    found: list[Line] = []
    for at, line in enumerate(body):
        if at:
            bound |= set(line_variables(body[at - 1]))
        if line.every:
            bound |= {str(name.value) for name in line.every.names}
        found.append(_Closing(line, bound, unbound, arity).line())
    return tuple(found)


class _Closing:
    """Orders the bodies inside one line, given what is bound around it."""

    def __init__(self, line: Line, bound: set[str], unbound: Unbound, arity: Arity) -> None:
        self._line = line
        self._bound = bound
        self._unbound = unbound
        self._arity = arity

    def line(self) -> Line:
        every = self._line.every
        if every is None and not any(map(_closes, line_nodes(self._line))):
            return self._line
        if every:
            body = _inner(every.body, self._bound, self._unbound, self._arity)
            every = Every(every.names, body)
        return replace(
            self._line,
            terms=tuple(map(self._node, self._line.terms)),
            mocks=tuple(
                (self._node(target), self._node(value)) for target, value in self._line.mocks
            ),
            every=every,
        )

    def _node(self, node: Node) -> Node:
        if node.kind != "comprehension":
            return (
                node._replace(terms=tuple(map(self._node, node.terms))) if node.terms else node
            )
        collected = {name for each in node.terms for name in variables(each, closures=True)}
        free = collected - {n for each in node.body for n in line_variables(each)} - self._bound
        if free:
            self._unbound.setdefault(self._line, set()).update(free)
        return node._replace(body=_inner(node.body, self._bound, self._unbound, self._arity))


def _closes(node: Node) -> bool:
    """Whether a comprehension is in it."""
    return node.kind == "comprehension" or any(map(_closes, node.terms))


def _inner(
    body: Sequence[Line], above: set[str], unbound: Unbound, arity: Arity
) -> tuple[Line, ...]:
    ordered, missing = _order(body, above, arity)
    if missing:
        unbound.update(missing)
        return tuple(body)
    return ordered


def _outputs_of(body: Sequence[Line], bound: set[str], arity: Arity) -> set[str]:
    known = set(bound)
    for line in body:
        known |= _outputs(line, known, arity)
    return known - bound


def _outputs(line: Line, bound: set[str], arity: Arity) -> set[str]:
    """The names that a line binds when those in `bound` are."""
    mocked = Line(line.position, None, (), mocks=line.mocks)
    if line.is_negated or not set(line_variables(mocked)) <= bound:
        return set()
    indexed = {name for term in line.terms for name in _indexes(term, bound)}
    if line.operator is None:
        return indexed - bound if line.every is None else indexed
    if line.operator == EQUALITY:
        return _outputs_of_equality(line, bound, indexed)
    return _outputs_of_call(line, arity(line.operator), bound, indexed)


def _outputs_of_call(line: Line, count: int, bound: set[str], indexed: set[str]) -> set[str]:
    """Also what stands in an argument more than its function takes, once the others are bound."""
    if count < 0:
        return set()
    asked, taken = (
        {
            name
            for term in terms
            for name in variables(term, bases=False, sets=False, keys=False)
        }
        for terms in (line.terms[:count], line.terms[count:])
    )
    if taken and asked - indexed - bound:
        return set()
    return indexed | taken


def _outputs_of_equality(line: Line, bound: set[str], indexed: set[str]) -> set[str]:
    known = indexed | bound
    if len(line.terms) != 2:
        return set()
    one, other = line.terms
    if line.assigns:  # what is assigned to never binds what it is assigned
        known -= set(variables(one, closures=True))
    return (known | bound_by(known, one, other)) - bound


def _indexes(node: Node, bound: set[str]) -> Iterator[str]:
    """Names in steps of references whose base has a value: iteration binds them."""
    if node.kind == "comprehension":
        return
    if node.kind == "ref":
        if not is_bound(node, bound):
            return
        yield from variables(node, bases=False, closures=True)
    for term in node.terms:
        yield from _indexes(term, bound)
