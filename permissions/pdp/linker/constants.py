"""Rules whose value is the same for every input, found out once when policies are linked.

Only what is quick and safe to evaluate in the caller's own process: rules that read nothing
but tables and other such rules, with no function of their own, builtins that give no more than
they are given, and one loop at most among them all. Only values that are written as they are
read: texts, booleans, whole numbers, and arrays and sets of those.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_statements, rule_terms
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from permissions.model import JsonValue
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.rego.ast import Rule, Term
    from permissions.pdp.rego.names import Names, Path

_TABLES = ("data", "wardline", "tables")
_BUILTINS = frozenset(
    {
        *("concat", "contains", "count", "endswith", "lower", "split", "startswith"),
        *("trim_prefix", "trim_suffix", "type_name", "upper"),
        *(f"is_{kind}" for kind in ("array", "boolean", "null", "number", "object", "string")),
    }
)
_DEPTH = 8


class Constants:
    """The rules of a bundle that are constant, as Rego writes their values."""

    def __init__(self, bundle: PolicyBundle, names: Names) -> None:
        self._bundle = bundle
        self._names = names
        self._engine: Engine | None = None
        self._known: dict[Path, str | None] = {}

    def close(self) -> None:
        """Ends the engine, which has to end in the thread that it was made in."""
        self._engine = None

    def literal(self, path: Path) -> str | None:
        """The value of a rule, or None when it is not constant, or not to be written."""
        if path not in self._known:
            loops = self._loops(path, _DEPTH)
            self._known[path] = self._evaluated(path) if loops in (0, 1) else None
        return self._known[path]

    def _loops(self, path: Path, depth: int) -> int | None:
        """How many loops a rule runs, with the rules it reads; None for what is not constant."""
        rules = self._names.rules_at(path)
        if not depth or not rules:
            return None
        total = 0
        for rule in rules:
            if rule.kind not in ("value", "default") or rule.arguments or rule.is_computed:
                return None
            if len(rule.path) > 1 or any(each.mocks for each in rule_statements(rule)):
                return None
            for found in (self._of_statements(rule), self._of_terms(rule, depth)):
                if found is None:
                    return None
                total += found
        return total

    def _of_statements(self, rule: Rule) -> int | None:
        kinds = [each.kind for each in rule_statements(rule)]
        return None if "some" in kinds else sum(kind in ("some_in", "every") for kind in kinds)

    def _of_terms(self, rule: Rule, depth: int) -> int | None:
        module = self._names.home(rule)
        bound = {name.value for each in rule_statements(rule) for name in each.names}
        total = 0
        for term in rule_terms(rule):
            if term.kind == "call":
                if term.value not in _BUILTINS or self._names.called(module, term.value):
                    return None
                continue
            if not _is_lookup(term, bound):
                return None
            pattern = self._names.resolve(module, term)
            if pattern is None:
                continue
            found = self._of_reference(pattern, depth)
            if found is None:
                return None
            total += found
        return total

    def _of_reference(self, pattern: tuple[str | None, ...], depth: int) -> int | None:
        path: list[str] = []
        for step in pattern:
            if step is None:
                return None
            path.append(step)
            if self._names.rules_at(tuple(path)):
                return self._loops(tuple(path), depth - 1)
        return 0 if tuple(path[:3]) == _TABLES else None

    def _evaluated(self, path: Path) -> str | None:
        if self._engine is None:
            data = json.dumps(self._bundle.data, ensure_ascii=False)
            self._engine = Engine(self._bundle.modules, data)
        try:
            said = self._engine.ask(".".join(path), "{}")
        except EngineError:
            return None  # and so it fails when it is needed
        values = [value for rule in self._names.rules_at(path) for value in rule.values]
        forms = {v.value if v.kind == "comprehension" else v.kind for v in values}
        return None if said == UNDEFINED else _written(json.loads(said), forms)


def _is_lookup(term: Term, bound: set[str]) -> bool:
    """Whether a reference has no step that runs over all there is."""
    steps = term.terms[1:] if term.kind == "ref" else ()
    return all(
        each.kind in ("string", "number") or (each.kind == "var" and each.value in bound)
        for each in steps
    )


def _written(value: JsonValue, forms: set[str]) -> str | None:
    """A value as Rego writes it; `forms` are those of the terms that give it."""
    if type(value) in (str, bool, int):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, list) or any(type(each) not in (str, bool, int) for each in value):
        return None
    inside = ", ".join(json.dumps(each, ensure_ascii=False) for each in value)
    if forms == {"array"}:
        return f"[{inside}]"
    return (f"{{{inside}}}" if value else "set()") if forms == {"set"} else None
