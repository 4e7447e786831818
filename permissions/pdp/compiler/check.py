"""The checks of OPA's compiler over all rules of a bundle."""

from __future__ import annotations

from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from permissions.pdp.compiler.checker import TypeChecker
from permissions.pdp.compiler.form import GENERATED, is_constant
from permissions.pdp.compiler.lowering import TEMPLATE, lower
from permissions.pdp.compiler.safety import order
from permissions.pdp.compiler.scopes import WILDCARD
from permissions.pdp.compiler.types import ANY, STRING, Array, Function, declared
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.names import absolute
from permissions.pdp.rego.signatures import BUILTINS, OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.pdp.compiler.environment import Path
    from permissions.pdp.compiler.form import Clause, Line
    from permissions.pdp.rego.ast import Module
    from permissions.pdp.rego.names import Names
    from permissions.pdp.rego.names import Path as RulePath


@cache
def _functions() -> Mapping[str, Function]:
    found = {
        name: Function(
            tuple(declared(each) for each in signature.declared["arguments"]),
            declared(signature.declared["result"]),
        )
        for name, signature in {**BUILTINS, **OPERATORS}.items()
    }
    return {**found, TEMPLATE: Function((Array((), ANY),), STRING)}


def check_compile(modules: Sequence[Module], names: Names) -> list[Finding]:
    """Findings about locals that nothing binds, and types that never meet.

    Rules that reach themselves are not looked at; the linter tells them.
    """
    findings: list[Finding] = []
    graph: dict[RulePath, set[RulePath]] = {}
    clauses: dict[RulePath, list[tuple[str, Clause]]] = {}
    for module in modules:
        for rule in module.rules:
            path = absolute(module, rule)
            graph.setdefault(path, set()).update(names.references(module, rule))
            for clause in lower(module, rule, names, findings):
                ordered, unbound = order(clause, lambda name: _arity(names, name))
                findings += _unbound(module.path, unbound)
                clauses.setdefault(path, []).append((module.path, ordered))
    if findings:
        return findings
    try:
        sequence = [*TopologicalSorter(graph).static_order()]
    except CycleError:
        return findings
    checker = TypeChecker(_functions(), _Dependents(graph, clauses).of, findings)
    for path in sequence:
        for file, clause in clauses.get(path, ()):
            checker.check(file, clause)
    return findings


def _arity(names: Names, name: str | RulePath) -> int:
    if isinstance(name, str):
        found = _functions().get(name)
        return len(found.arguments) if found else -1
    return max((len(rule.arguments) for rule in names.rules_at(name)), default=-1)


def _unbound(path: str, unbound: Mapping[Line, set[str]]) -> Iterator[Finding]:
    for line, found in unbound.items():
        shown = {
            name.partition(GENERATED)[0] for name in found if not name.startswith(GENERATED)
        }
        for name in sorted(shown) or ["it"]:
            what = "_" if name.startswith(WILDCARD) else name
            yield Finding(
                path,
                line.position,
                "rego.unbound_local",
                f"nothing gives `{what}` a value",
                "bind it by `:=`, `some .. in` or an argument, outside of `not`",
            )


class _Dependents:
    """Which rules stand at a path, and which read those, themselves or through others.

    What reads a document that no rule makes is no dependent: OPA looks at rules only.
    """

    def __init__(
        self,
        graph: Mapping[RulePath, set[RulePath]],
        clauses: Mapping[RulePath, list[tuple[str, Clause]]],
    ) -> None:
        self._graph = graph
        self._paths = {
            path: {clause.path for _, clause in found} for path, found in clauses.items()
        }
        self._known: dict[Path, frozenset[Path]] = {}

    def of(self, target: Path) -> frozenset[Path]:
        """The paths of the rules that change with what is at a path."""
        if target not in self._known:
            self._known[target] = self._find(target)
        return self._known[target]

    def _find(self, target: Path) -> frozenset[Path]:
        changed = {
            path
            for path, ends in self._paths.items()
            if any(_overlap(target, end) for end in ends)
        }
        grew = True
        while grew:
            more = {path for path, needs in self._graph.items() if needs & changed} - changed
            changed |= more
            grew = bool(more)
        return frozenset(
            _ground(head) for path in changed for head in self._paths.get(path, ())
        )


def _ground(head: Path) -> Path:
    end = next((at for at, step in enumerate(head) if at and not is_constant(step)), len(head))
    return head[:end]


def _overlap(one: Path, other: Path) -> bool:
    return (
        all(
            mine == theirs or not (is_constant(mine) and is_constant(theirs))
            for mine, theirs in zip(one[1:], other[1:], strict=False)
        )
        and one[0] == other[0]
    )
