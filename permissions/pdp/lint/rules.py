"""Findings about rules: names, recursion, `not`, and references that mean nothing."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from permissions.pdp.lint.finding import Finding
from permissions.pdp.rego.ast import (
    parts,
    rule_bodies,
    rule_statements,
    rule_terms,
    static_path,
    walk_terms,
)
from permissions.pdp.rego.names import absolute
from permissions.pdp.rego.signatures import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.pdp.rego.ast import (
        Module,
        Rule,
        Statement,
        Term,
    )
    from permissions.pdp.rego.names import Names, Path

_IMPORTS = {("rego", "v1"), ("future", "keywords")}
_FUTURE = {"in", "every", "if", "contains"}


def check_imports(module: Module) -> Iterator[Finding]:
    """Imports that OPA refuses, or that hide another name."""
    seen: set[str] = set()
    for imported in module.imports:
        path = imported.path
        known = path in _IMPORTS or (path[:2] == ("future", "keywords") and path[2] in _FUTURE)
        if not known and path[:1] not in (("data",), ("input",)):
            yield Finding(
                module.path,
                imported.position,
                "rego.import",
                f"there is no {'.'.join(path)!r} to import",
                "import a path of data or input",
            )
        elif not known and imported.alias in seen:
            yield Finding(
                module.path,
                imported.position,
                "rego.name_clash",
                f"`{imported.alias}` is imported twice",
                "give one of them another name with `as`",
            )
        seen.add(imported.alias)


def check_names(modules: Sequence[Module], names: Names) -> Iterator[Finding]:
    """Rules of one name that cannot live together, over all modules."""
    forms: dict[Path, tuple[str, int]] = {}
    defaults: set[Path] = set()
    for module in modules:
        for rule in module.rules:
            path = absolute(module, rule)
            if rule.kind == "default":
                if path in defaults:
                    yield _clash(module, rule, "rego.two_defaults", "has a second default")
                defaults.add(path)
            computed = len(rule.path) < len(rule.head.terms)
            kind = "function" if rule.arguments else rule.kind
            form = ("computed" if computed else kind, len(rule.arguments))
            if rule.kind == "default" and not rule.arguments:
                form = ("value", 0)
            if forms.setdefault(path, form) != form:
                yield _clash(module, rule, "rego.name_clash", "is defined in another form, too")
        for rule in module.rules:
            path = absolute(module, rule)
            for above in (path[:end] for end in range(2, len(path))):
                if any(not _is_computed(other) for other in names.rules_at(above)):
                    what = f"lies inside the rule {'.'.join(above)}"
                    yield _clash(module, rule, "rego.name_clash", what)


def _is_computed(rule: Rule) -> bool:
    return len(rule.path) < len(rule.head.terms)


def _clash(module: Module, rule: Rule, code: str, what: str) -> Finding:
    name = ".".join(rule.path)
    return Finding(module.path, rule.position, code, f"`{name}` {what}", "rename one of them")


def check_recursion(modules: Sequence[Module], names: Names) -> Iterator[Finding]:
    """A rule that reaches itself. One cycle is reported at a time."""
    graph: dict[Path, set[Path]] = {}
    homes: dict[Path, tuple[Module, Rule]] = {}
    for module in modules:
        for rule in module.rules:
            path = absolute(module, rule)
            homes.setdefault(path, (module, rule))
            graph.setdefault(path, set()).update(names.references(module, rule))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        cycle: list[Path] = err.args[1]
        module, rule = homes[cycle[0]]
        chain = " -> ".join(".".join(path) for path in reversed(cycle))
        yield Finding(
            module.path,
            rule.position,
            "rego.recursion",
            f"a rule reaches itself: {chain}",
            "cut it",
        )


def check_references(module: Module, rule: Rule, names: Names) -> Iterator[Finding]:
    """References to rules that do not exist."""
    for term in rule_terms(rule):
        pattern = names.resolve(module, term)
        if pattern is None or len(pattern) < 2:
            continue
        if pattern[0] == "data" and (step := names.first_unknown(pattern)):
            yield Finding(
                module.path,
                term.position,
                "rego.unknown_rule",
                f"nothing in that package is called `{step}`",
                "correct the name; an undefined reference never fires",
            )


def check_locals(module: Module, rule: Rule, names: Names) -> Iterator[Finding]:
    """Locals that hide another name, and `some` variables that are never used."""
    declared = [t for argument in rule.arguments for t in walk_terms((argument,))]
    somes: list[Term] = []
    for statement in rule_statements(rule):
        declared += statement.names
        if statement.kind == "some":
            somes += statement.names
        for term in statement.terms:
            if term.kind == "infix" and term.value == ":=":
                declared += walk_terms(term.terms[:1])
    for term in declared:
        if term.kind == "var" and not names.is_local(module, term.value):
            yield Finding(
                module.path,
                term.position,
                "rego.name_clash",
                f"the local `{term.value}` hides a rule, an import, or the input",
                "rename the local",
            )
    used = {static_path(t)[:1] for t in rule_terms(rule) if t.kind in ("var", "ref")}
    for term in somes:
        if (term.value,) not in used:
            yield Finding(
                module.path,
                term.position,
                "rego.unused_local",
                f"`{term.value}` is declared and never used",
                "remove it; OPA refuses it",
            )


def check_negations(module: Module, rule: Rule, names: Names) -> Iterator[Finding]:
    """`not` over something with an undefined part.

    There the engines differ: OPA's body fails, regorus' holds. `not` over a plain reference,
    or over `==` between references, is the same in both; so is it when another line of the
    body fails by itself as long as the part is undefined.
    """
    for body in rule_bodies(rule):
        needed = {path for statement in body for path in _needed(statement)}
        for statement in body:
            if statement.kind != "not":
                continue
            for term in _loose_parts(statement.terms[0], module, names):
                if _whole_path(term) not in needed:
                    yield Finding(
                        module.path,
                        term.position,
                        "rego.unbound_not",
                        "a part of what `not` negates may be undefined",
                        "bind it to a variable before: `x := ...`, then `not ... x ...`",
                    )


def _needed(statement: Statement) -> Iterator[Path]:
    """References without which a statement cannot hold."""
    if statement.kind in ("expression", "some_in") and not statement.mocks:
        pending = list(statement.terms)
        while pending:
            term = pending.pop()
            if path := _whole_path(term):
                yield path
            if term.kind != "comprehension":
                pending += parts(term)


def _whole_path(term: Term) -> Path | None:
    path = static_path(term)
    return path if path and len(path) == max(1, len(term.terms)) else None


def _loose_parts(term: Term, module: Module, names: Names) -> Iterator[Term]:
    """The parts of a negated term that may be undefined and must not be."""
    if term.kind == "infix" and term.value in ("==", "="):
        for side in term.terms:
            inner = parts(side) if side.kind in ("var", "ref") else (side,)
            yield from _unsure(inner, module, names)
    else:
        yield from _unsure(parts(term), module, names)


def _unsure(terms: tuple[Term, ...], module: Module, names: Names) -> Iterator[Term]:
    for term in terms:
        if term.kind in ("var", "ref"):
            if not _is_always_defined(term, module, names):
                yield term
        elif term.kind == "call" and term.value not in BUILTINS:
            yield term
        elif term.kind != "comprehension":
            yield from _unsure(term.terms, module, names)


def _is_always_defined(term: Term, module: Module, names: Names) -> bool:
    if term.kind == "var" and term.value == "_":
        return False
    if term.kind == "var" and names.is_local(module, term.value):
        return True
    pattern = names.resolve(module, term)
    if pattern == ("input",):
        return True
    if pattern is None or None in pattern:
        return False
    rules = names.rules_at(tuple(step or "" for step in pattern))
    return any(rule.is_unconditional for rule in rules)
