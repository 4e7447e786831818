"""Findings about rules: names, recursion, `not`, and references that mean nothing."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import (
    rule_statements,
    rule_terms,
    static_path,
    walk_body,
    walk_terms,
)
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.names import absolute

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
_RESERVED = frozenset(
    [
        "as",
        "contains",
        "data",
        "default",
        "else",
        "every",
        "false",
        "if",
        "import",
        "in",
        "input",
        "not",
        "null",
        "package",
        "some",
        "true",
        "with",
    ]
)
"""Words of the language, and its two roots: no import may be called by one."""


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
        elif not known and imported.alias in _RESERVED:
            yield Finding(
                module.path,
                imported.position,
                "rego.import",
                f"nothing may be imported as {imported.alias!r}, a word of the language",
                "give it another name with `as`",
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
            form = _form(rule)
            if forms.setdefault(path, form) != form:
                yield _clash(module, rule, "rego.name_clash", "is defined in another form, too")
            if rule.kind == "default" and rule.arguments and rule.path[1:]:
                what = "is a function with dots in its name and a default"
                yield _clash(module, rule, "rego.dotted_function", what)
            for above in (path[:end] for end in range(2, len(path))):
                if any(_excludes(other, rule) for other in names.rules_at(above)):
                    what = f"lies inside the rule {'.'.join(above)}"
                    yield _clash(module, rule, "rego.name_clash", what)


def _form(rule: Rule) -> tuple[str, int]:
    """What all rules of one name have in common."""
    if rule.kind == "default" and not rule.arguments:
        return "value", 0
    kind = "function" if rule.arguments else rule.kind
    return ("computed" if rule.is_computed else kind), len(rule.arguments)


def _excludes(other: Rule, rule: Rule) -> bool:
    """Whether `rule` may not lie below `other`: only below `p[x]`, and none of them a set."""
    return not other.is_computed or "set" in (other.kind, rule.kind)


def _clash(module: Module, rule: Rule, code: str, what: str) -> Finding:
    name = ".".join(rule.path)
    return Finding(module.path, rule.position, code, f"`{name}` {what}", "rename one of them")


def check_split_functions(modules: Sequence[Module]) -> Iterator[Finding]:
    """Clauses of one function in two files, which the engine takes for two functions."""
    homes: dict[Path, str] = {}
    for module in modules:
        for rule in module.rules:
            if not rule.arguments:
                continue
            first = homes.setdefault(absolute(module, rule), module.path)
            if first != module.path:
                what = f"clauses of `{'.'.join(rule.path)}` stand in {first}, too"
                yield Finding(
                    module.path,
                    rule.position,
                    "rego.split_function",
                    f"{what}; then every call of it fails",
                    "put all clauses of one function into one file",
                )


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


def _variables(body: tuple[Statement, ...]) -> Iterator[str]:
    """The variables a body reads, at the beginning of references too."""
    for term in walk_body(body):
        if term.kind in ("var", "ref", "call"):
            yield from static_path(term)[:1]


def check_locals(module: Module, rule: Rule, names: Names) -> Iterator[Finding]:
    """Locals that hide another name, and declared variables that are never used."""
    declared = [t for argument in rule.arguments for t in walk_terms((argument,))]
    for statement in rule_statements(rule):
        declared += statement.names
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
    for term in _unused(rule):
        yield Finding(
            module.path,
            term.position,
            "rego.unused_local",
            f"`{term.value}` is declared and never used",
            "remove it, or write `_` in `every`; OPA refuses it",
        )


def _unused(rule: Rule) -> Iterator[Term]:
    """What `some` declares and the rule, or `every` and its body, never reads."""
    everywhere = {static_path(t)[:1] for t in rule_terms(rule) if t.kind in ("var", "ref")}
    for statement in rule_statements(rule):
        if statement.kind == "some":
            yield from (term for term in statement.names if (term.value,) not in everywhere)
        elif statement.kind == "every":
            within = set(_variables(statement.body))
            yield from (t for t in statement.names if t.value not in within | {"_"})
