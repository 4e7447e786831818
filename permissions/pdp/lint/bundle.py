"""Refuses policies that the embedded engine would decide otherwise than OPA, or not at all.

regorus finds many faults only when a line is reached, accepts some that OPA refuses, and dies
of a few (a function that calls itself ends the process). So nothing is served before every module passed, in
this order: text (`text`), parser, trees (`rules`, `negations`, `patterns`, `calls`), locals and types (`compiler`), the engine's own compiler. Every
finding is an error and carries its file, line, column, and a fix.

It also refuses what is silently never true: a missing entrypoint, packages and rules nobody
reads (`contract`), members and words the input never has, rules and tables that do not
exist.

What it cannot see: patterns and values that come from data or input. The Python builtins refuse those
when they are met, which fails that evaluation and denies the call.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from permissions.errors import PolicyLoadError
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.compiler.check import check_compile
from permissions.pdp.lint.calls import check_calls
from permissions.pdp.lint.contract import check_conflicts, check_contract
from permissions.pdp.lint.input import InputLinter
from permissions.pdp.lint.negations import check_negations
from permissions.pdp.lint.patterns import check_patterns
from permissions.pdp.lint.rules import (
    check_imports,
    check_locals,
    check_names,
    check_recursion,
    check_references,
    check_split_functions,
)
from permissions.pdp.lint.text import check_text
from permissions.pdp.rego.ast import Position
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.names import Names
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse
from permissions.pdp.remembered import recall, remember
from permissions.pdp.shadow_marks import check_shadow, shadow_paths

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from permissions.model import Digest, JsonObject
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.rego.ast import Module

_ENGINE_TEXT = re.compile(r"--> (.+):(\d+):(\d+)\n.*?^error: (.*)", re.DOTALL | re.MULTILINE)
_NOTHING_FOUND = b"nothing found"
_sound: set[Digest] = set()
"""Revisions that passed in this process."""


def require_sound(bundle: PolicyBundle) -> None:
    """Passes a bundle that may be served; one that passed before is not judged again (`remembered`).

    Raises:
        PolicyLoadError: with every finding.
    """
    if bundle.revision in _sound:
        return
    if recall(f"sound {bundle.revision}") != _NOTHING_FOUND:
        _require_nothing_found(bundle)
    _sound.add(bundle.revision)


def _require_nothing_found(bundle: PolicyBundle) -> None:
    findings = check_bundle(bundle)
    if findings:
        raise PolicyLoadError([str(finding) for finding in findings])
    remember(f"sound {bundle.revision}", _NOTHING_FOUND)


def check_bundle(bundle: PolicyBundle, *, entrypoint: str = ENTRYPOINT) -> list[Finding]:
    """Everything that is wrong with the modules of a bundle, in the order of files and lines.

    Blocking and bounded: at most a few milliseconds per hundred lines. Tests are not judged.
    """
    findings = [
        finding for path, text in bundle.modules.items() for finding in check_text(path, text)
    ]
    findings += check_shadow(bundle.modules)
    if not findings:
        modules: list[Module] = []
        for path, text in bundle.modules.items():
            try:
                modules.append(parse(path, text))
            except EngineError as err:
                findings.append(_engine_finding(err, path, "rego.parse"))
        if not findings:
            names = Names(modules)
            of_language = [*_check_language(modules, names)] or check_compile(modules, names)
            of_contract = _check_contract(modules, names, entrypoint, _tables(bundle))
            of_shadow = _check_apart(modules, names, shadow_paths(bundle.modules))
            findings = [*of_language, *of_contract, *of_shadow]
        if not findings:
            findings = [*_compile(bundle.modules, bundle)]
    return sorted(
        set(findings), key=lambda f: (f.path, f.position.line, f.position.column, f.code)
    )


def _check_apart(
    modules: Sequence[Module], names: Names, hidden: Collection[str]
) -> Iterator[Finding]:
    """What is in force may not read what is in the shadow: it decides without it."""
    packages = {("data", *module.package) for module in modules if module.path in hidden}
    apart = {*hidden, "joined/joined.rego"}  # which joins whatever is there
    for module in modules if hidden else ():
        for rule in module.rules if module.path not in apart else ():
            read = names.references(module, rule)
            if any(path[: len(package)] == package for path in read for package in packages):
                yield Finding(
                    module.path,
                    rule.position,
                    "bundle.shadow",
                    "it reads a package in the shadow, and decides without it",
                    "put this one into the shadow, too, or that one in force",
                )


def _tables(bundle: PolicyBundle) -> JsonObject:
    tables: JsonObject = bundle.data.get("wardline", {}).get("tables", {})
    return tables


def _check_language(modules: Sequence[Module], names: Names) -> Iterator[Finding]:
    """What is wrong in any bundle."""
    for module in modules:
        yield from check_imports(module)
        for rule in module.rules:
            yield from check_locals(module, rule, names)
            yield from check_negations(module, rule, names)
            yield from check_calls(module, rule, names)
            yield from check_patterns(module, rule, names)
    yield from check_names(modules, names)
    yield from check_split_functions(modules)
    yield from check_recursion(modules, names)


def _check_contract(
    modules: Sequence[Module], names: Names, entrypoint: str, tables: JsonObject
) -> Iterator[Finding]:
    """What is wrong in a bundle that the broker asks."""
    of_input = InputLinter(tuple(modules), names, tables)
    for module in modules:
        yield from check_contract(module)
        yield from of_input.check_imports(module)
        for rule in module.rules:
            yield from check_references(module, rule, names)
            yield from of_input.check(module, rule)
    yield from check_conflicts(modules)
    if not names.rules_at(tuple(entrypoint.split("."))):
        yield Finding(
            modules[0].path if modules else "policies",
            Position(1, 1),
            "rego.no_entrypoint",
            f"no module defines {entrypoint}",
            "ship main/main.rego with the folder, or load the folder as an overlay",
        )


def _compile(modules: Mapping[str, str], bundle: PolicyBundle) -> Iterator[Finding]:
    try:
        Engine(modules, json.dumps(bundle.data, ensure_ascii=False))
    except EngineError as err:
        yield _engine_finding(err, "policies", "rego.compile")


def _engine_finding(err: EngineError, path: str, code: str) -> Finding:
    found = _ENGINE_TEXT.search(err.text)
    if found is None:
        what = err.text.splitlines()[-1][:300]
        return Finding(path, Position(1, 1), code, what, "mend the syntax")
    file, line, column, what = found.groups()
    return Finding(file, Position(int(line), int(column)), code, what.strip()[:300], "mend it")
