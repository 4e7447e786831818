"""Infers the types of locals and rules, and finds what can never be of one type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.compiler.environment import Environment, Path
from permissions.pdp.compiler.form import (
    EQUALITY,
    is_constant,
    string,
    variable,
)
from permissions.pdp.compiler.steps import Steps
from permissions.pdp.compiler.terms import Terms
from permissions.pdp.compiler.types import (
    ANY,
    Function,
    Object,
    SetOf,
    Type,
    described,
    either,
    is_unknown,
    keys_of,
    meets,
    values_of,
)
from permissions.pdp.rego.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from permissions.pdp.compiler.form import Clause, Line, Node

    Dependents = Callable[[Path], frozenset[Path]]

_MEMBER = {"internal.member_2": 2, "internal.member_3": 3}


class TypeChecker:
    """Checks clauses, those first that others read."""

    def __init__(
        self, functions: Mapping[str, Function], dependents: Dependents, findings: list[Finding]
    ) -> None:
        self._functions = functions
        self._terms = Terms(functions, self._inferred)
        self._dependents = dependents
        self._findings = findings
        self._rules = Environment()
        self._path = ""

    def check(self, path: str, clause: Clause) -> None:
        """Finds what is wrong in one clause, and remembers what its rule may be."""
        self._path = path
        before = len(self._findings)
        body = self._body(self._rules.inner(), clause.body)
        if len(self._findings) > before:
            self._rules.tree.put(clause.path, ANY)  # so that nobody is told twice
            return
        rule_path, found = self._rule(clause, body)
        if found is not None:
            self._rules.tree.insert(rule_path, found)

    def _rule(self, clause: Clause, body: Environment) -> tuple[Path, Type | None]:
        if clause.arguments:
            for argument in clause.arguments:
                for name in _locals(argument):
                    if body.local(name) is None:
                        body.bind(name, ANY)
            arguments = tuple(self._terms.type_of(body, each) for each in clause.arguments)
            return clause.path, Function(arguments, self._terms.type_of(body, clause.value))
        given = self._terms.type_of(body, clause.value)
        if clause.is_set:
            given = None if given is None else SetOf(given)
        ground = [is_constant(step) for step in clause.path[1:]]
        if given is None or all(ground):
            return clause.path, given
        end = ground.index(False) + 1
        whole = given
        for step in reversed(clause.path[end:]):
            key = self._terms.type_of(body, step)
            if key is None:
                return clause.path[:end], None
            whole = Object((), (key, whole))
        return clause.path[:end], whole

    def _body(self, around: Environment, lines: tuple[Line, ...]) -> Environment:
        environment = around.inner()
        for line in lines:
            here = self._mocked(environment, line)
            before = len(self._findings)
            self._closures(here, line)
            for node in _nodes(line):
                self._references(here, node, line)
            was_found = len(self._findings) > before
            self._line(here, line, is_told=was_found)
        return environment

    def _inferred(self, around: Environment, lines: tuple[Line, ...]) -> Environment | None:
        """Of a comprehension; None when something is wrong, which is told where its line is."""
        before = len(self._findings)
        inner = self._body(around, lines)
        if len(self._findings) == before:
            return inner
        del self._findings[before:]
        return None

    # a line

    def _line(self, here: Environment, line: Line, *, is_told: bool) -> None:
        for target, value in line.mocks:
            one, other = self._terms.type_of(here, target), self._terms.type_of(here, value)
            both = isinstance(one, Function) and isinstance(other, Function)
            if both and not meets(one, other):
                self._find(line, "a function is replaced by one of other arguments")
                return
        if line.operator is None:
            return
        if line.operator == EQUALITY or (line.operator == "equal" and len(line.terms) == 2):
            self._equality(here, line, is_told=is_told)
            return
        name = line.operator
        if name in _MEMBER and not self._membership(here, line, is_told=is_told):
            return
        found: Type | None = (
            self._functions.get(name)
            if isinstance(name, str)
            else here.reference(_path_of(name))
        )
        if isinstance(found, Function):
            self._call(here, line, found, is_told=is_told)

    def _call(self, here: Environment, line: Line, called: Function, *, is_told: bool) -> None:
        wanted = called.arguments
        if called.result is not None:
            wanted = (*wanted, called.result)
        if not len(called.arguments) <= len(line.terms) <= len(wanted):
            return  # told by the linter, with the count
        before = [self._terms.type_of(here, term) for term in line.terms]
        for at, (term, known, kind) in enumerate(zip(line.terms, before, wanted, strict=False)):
            is_off = not is_unknown(known) and not meets(known, kind)
            if is_off or not self._terms.fit(here, term, kind):
                found = [self._terms.type_of(here, each) for each in line.terms]
                if not (is_told and any(map(is_unknown, found))):
                    name = _shown(line)
                    given = described(self._terms.type_of(here, term))
                    self._find(
                        line,
                        f"argument {at + 1} of {name} is {given}, and it takes {described(kind)}",
                    )
                return

    def _equality(self, here: Environment, line: Line, *, is_told: bool) -> None:
        if len(line.terms) != 2:
            self._find(line, "`=` is no value")
            return
        one, other = line.terms
        kinds = self._terms.type_of(here, one), self._terms.type_of(here, other)
        is_off = not self._terms.match(here, one, other)
        if is_off and not (is_told and any(map(is_unknown, kinds))):
            what = f"{described(kinds[0])} and {described(kinds[1])} are never equal"
            self._find(line, what)

    def _membership(self, here: Environment, line: Line, *, is_told: bool) -> bool:
        arity = _MEMBER[str(line.operator)]
        *operands, collection = line.terms[:arity]
        whole = self._terms.type_of(here, collection)
        values = values_of(whole)
        if values is None:
            return True
        pairs: list[tuple[Node, Type | None]] = [(operands[-1], values)]
        if arity == 3:
            pairs.insert(0, (operands[0], keys_of(whole)))
        for term, kind in pairs:
            if kind is None or is_unknown(kind):
                continue
            known = self._terms.type_of(here, term)
            is_off = not is_unknown(known) and not meets(known, kind)
            if is_off or not self._terms.fit(here, term, kind):
                if not (is_told and is_unknown(known)):
                    what = f"{described(known)} is never in what holds {described(kind)}"
                    self._find(line, what)
                return False
        return True

    def _closures(self, here: Environment, line: Line) -> None:
        for node in _closed(line):
            self._body(here, node.body)

    def _references(self, here: Environment, node: Node, line: Line) -> None:
        if node.kind == "comprehension":
            return
        if node.kind == "ref":
            if isinstance(here.reference(node.terms), Function):
                self._find(line, "a function is named and not called")
                return
            what = Steps(here, self._terms).fault(node.terms)
            if what:
                self._find(line, what)
        for term in node.terms:
            self._references(here, term, line)

    # with

    def _mocked(self, environment: Environment, line: Line) -> Environment:
        """The environment in which what `with` replaces is of either type."""
        if not line.mocks:
            return environment
        here = environment.inner(shares_locals=True)
        replaced: list[tuple[Path, Type | None]] = []
        for target, value in line.mocks:
            path = target.terms if target.kind == "ref" else (target,)
            known = self._terms.type_of(environment, target)
            is_function = isinstance(known, Function)
            for rule in self._dependents(path):
                if not (is_function and rule == path):
                    here.tree.put(rule, ANY)
            if is_function:
                continue
            kind: Type | None = ANY
            ground = next(
                (n for n, s in enumerate(path) if n and not is_constant(s)), len(path)
            )
            given = self._terms.type_of(environment, value)
            if ground == len(path) and known is not None and given is not None:
                kind = either(known, given)  # of a value; a function was told from it above
            replaced.append((path[:ground], kind))
        here = here.inner(shares_locals=True)
        for path, kind in replaced:
            here.tree.put(path, kind)
        return here

    def _find(self, line: Line, what: str) -> None:
        fix = "OPA refuses it; compare and pass values of one kind"
        self._findings.append(Finding(self._path, line.position, "rego.types", what, fix))


def _path_of(name: tuple[str, ...]) -> Path:
    first, *rest = name
    return (variable(first), *map(string, rest))


def _shown(line: Line) -> str:
    name = line.operator
    return f"`{'.'.join(name) if isinstance(name, tuple) else name}`"


def _locals(node: Node) -> Iterator[Node]:
    if node.kind == "var":
        yield node
    for term in node.terms:
        yield from _locals(term)


def _nodes(line: Line) -> Iterator[Node]:
    """What is looked at for references: the lines of `every`, too."""
    yield from line.terms
    if line.every:
        for inner in line.every.body:
            yield from _nodes(inner)


def _closed(line: Line) -> Iterator[Node]:
    """Comprehensions, however deep."""
    pending: list[Node] = list(_nodes(line))
    while pending:
        node = pending.pop()
        if node.kind == "comprehension":
            yield node
            for inner in node.body:
                pending += _nodes(inner)
        pending += node.terms
