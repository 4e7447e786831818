"""What the names in a bundle's modules mean: rules, packages, imports, locals.

A variable is a local when it is neither `input`, `data`, an import nor a rule of its package;
the linter refuses locals that take such a name, so that this needs no scopes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import Term, rule_terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from permissions.pdp.rego.ast import Module, Rule

Path = tuple[str, ...]
_Pattern = tuple[str | None, ...]


@dataclass(slots=True)
class _Node:
    below: dict[str, _Node] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    is_package: bool = False


class Names:
    """The rules of all modules, by absolute path (`("data", "wardline", "main", ...)`)."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self._root = _Node()
        self._own: dict[Path, set[str]] = {}
        self._homes = {id(rule): module for module in modules for rule in module.rules}
        for module in modules:
            self._node(("data", *module.package)).is_package = True
            own = self._own.setdefault(module.package, set())
            for rule in module.rules:
                self._node(absolute(module, rule)).rules.append(rule)
                own.update(rule.path[:1])

    def _node(self, path: Path) -> _Node:
        node = self._root
        for part in path:
            node = node.below.setdefault(part, _Node())
        return node

    def own(self, module: Module) -> set[str]:
        """The names of the rules of a module's package, other files included."""
        return self._own[module.package]

    def is_local(self, module: Module, name: str) -> bool:
        """Whether a variable of this name is no rule, import, `input` or `data`."""
        return (
            name not in ("input", "data")
            and name not in self.own(module)
            and all(name != imported.alias for imported in module.imports)
        )

    def resolve(self, module: Module, term: Term) -> _Pattern | None:
        """The absolute path of a variable or reference, None for each computed step.

        None for locals and for references into values.
        """
        base = term.terms[0] if term.kind == "ref" else term
        if base.kind != "var":
            return None
        start = self._start(module, base.value)
        if start is None:
            return None
        steps = term.terms[1:] if term.kind == "ref" else ()
        return (*start, *(s.value if s.kind == "string" else None for s in steps))

    def resolve_name(self, module: Module, dotted: str) -> Path | None:
        """The absolute path of a called function's name."""
        first, *rest = dotted.split(".")
        start = self._start(module, first)
        return None if start is None else (*start, *rest)

    def _start(self, module: Module, name: str) -> Path | None:
        if name in ("input", "data"):
            return (name,)
        for imported in module.imports:
            if imported.alias == name:
                return imported.path
        return ("data", *module.package, name) if name in self.own(module) else None

    def rules_at(self, path: Path) -> list[Rule]:
        """The rules whose head is exactly this path."""
        node = self._root
        for part in path:
            if part not in node.below:
                return []
            node = node.below[part]
        return node.rules

    def reached(self, pattern: _Pattern) -> Iterator[Path]:
        """Paths of the rules that a reference may read: above, at, and below it."""
        yield from _reached(self._root, pattern, ())

    def above(self, path: _Pattern) -> bool:
        """Whether a path, its computed steps left out, lies within a rule or on the way to one."""
        node = self._root
        for step in path:
            if node.rules or step is None:
                return True
            if step not in node.below:
                return False
            node = node.below[step]
        return True

    def first_unknown(self, pattern: _Pattern) -> str | None:
        """The step of a reference that leaves a package for nothing that is there."""
        node = self._root
        for step in pattern:
            if step is None or node.rules:
                return None
            if step not in node.below:
                return step if node.is_package else None
            node = node.below[step]
        return None

    def home(self, rule: Rule) -> Module:
        """The module a rule stands in."""
        return self._homes[id(rule)]

    def is_total(self, module: Module, term: Term) -> bool:
        """Whether a term has a value whatever the input is, as far as is plain to see."""
        return self._is_total(module, term, frozenset())

    def _is_total(self, module: Module, term: Term, above: frozenset[Path]) -> bool:
        match term.kind:
            case "string" | "number" | "boolean" | "null" | "comprehension":
                return True
            case "array" | "set" | "object":
                return all(self._is_total(module, each, above) for each in term.terms)
            case "var" | "ref":
                pattern = self.resolve(module, term)
                path = () if pattern is None else tuple(step or "" for step in pattern)
                if pattern is None or None in pattern or path in above:
                    return path == ("input",)
                return path == ("input",) or any(
                    self._rule_is_total(rule, above | {path}) for rule in self.rules_at(path)
                )
            case _:
                return False

    def _rule_is_total(self, rule: Rule, above: frozenset[Path]) -> bool:
        if rule.is_computed:
            return False
        if rule.kind in ("default", "set"):
            return not rule.arguments
        home = self.home(rule)
        values = all(self._is_total(home, value, above) for value in rule.values)
        return rule.is_unconditional and bool(rule.values) and values

    def called(self, module: Module, dotted: str) -> list[Rule]:
        """The rules of the bundle that a call by this name reaches."""
        path = self.resolve_name(module, dotted)
        return [] if path is None else self.rules_at(path)

    def references(self, module: Module, rule: Rule) -> Iterator[Path]:
        """Paths of every rule that this rule reads or calls."""
        yield from self.read_by(module, rule_terms(rule))

    def read_by(self, module: Module, terms: Iterable[Term]) -> Iterator[Path]:
        """Paths of every rule that these terms read or call."""
        for term in terms:
            if term.kind == "call":
                path = self.resolve_name(module, term.value)
                if path is not None and self.rules_at(path):
                    yield path
            elif term.kind in ("var", "ref"):
                pattern = self.resolve(module, term)
                if pattern is not None and pattern[0] == "data":
                    yield from self.reached(pattern)


def absolute(module: Module, rule: Rule) -> Path:
    """The absolute path of a rule."""
    return ("data", *module.package, *rule.path)


def _reached(node: _Node, pattern: _Pattern, path: Path) -> Iterator[Path]:
    if node.rules:
        yield path
    if not pattern:
        for name, child in node.below.items():
            yield from _reached(child, (), (*path, name))
        return
    step, rest = pattern[0], pattern[1:]
    steps: Iterable[str] = node.below if step is None else (step,)
    for name in steps:
        if name in node.below:
            yield from _reached(node.below[name], rest, (*path, name))
