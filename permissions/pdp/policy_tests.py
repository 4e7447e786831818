"""Runs the `test_*` rules of a bundle's `*_test.rego` modules with the embedded engine.

The same rules as `opa test`: a test passes when its value is true, fails when it is false or
undefined, and is an error when the evaluation fails. Every test starts from an empty input.
The engine is the one that decides in production, with the same builtins, so a policy that
passes here is not one that passes only under OPA; `opa test` on the same folder is the other
half.

It runs in the calling process, without a deadline: tests are the author's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from permissions.errors import PolicyLoadError
from permissions.pdp.lint.text import check_text
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.names import Names, absolute
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.rego.ast import Module


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of one test rule.

    `detail` is the engine's text of an error, `prints` what the test printed, `seconds` what it took.
    """

    name: str
    path: str
    line: int
    outcome: Literal["pass", "fail", "error"]
    detail: str = ""
    prints: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LineCoverage:
    """Lines of one module that were evaluated, and those that never were."""

    covered: frozenset[int]
    missed: frozenset[int]


@dataclass(frozen=True, slots=True)
class TestRun:
    """Every result, and the coverage of the modules under test."""

    results: tuple[TestResult, ...]
    coverage: Mapping[str, LineCoverage] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether there was a test, and none failed."""
        return bool(self.results) and all(r.outcome == "pass" for r in self.results)

    @property
    def covered_share(self) -> float:
        """Part of all lines that were evaluated, 0 to 1; 1 when there are none."""
        covered = sum(len(lines.covered) for lines in self.coverage.values())
        missed = sum(len(lines.missed) for lines in self.coverage.values())
        return covered / (covered + missed) if covered + missed else 1.0


def run_tests(
    bundle: PolicyBundle, *, within: Collection[str] | None = None, named: str = ""
) -> TestRun:
    """Runs the tests of the bundle, in the order of files and lines.

    Args:
        bundle: modules and tests; all of them are loaded.
        within: paths of the test modules that are run, and of the modules whose coverage is
            told; None for all.
        named: a part of the names of those that are run.

    Raises:
        PolicyLoadError: a module or a test module does not load, or holds a rule that is
            neither run nor used (`tset_x`).
    """
    texts = {**bundle.modules, **bundle.tests}
    findings = [str(f) for path, text in texts.items() for f in check_text(path, text)]
    if findings:
        raise PolicyLoadError(findings)
    try:
        engine = Engine(texts, json.dumps(bundle.data, ensure_ascii=False))
    except EngineError as err:
        raise PolicyLoadError([f"{err.fault}: rego.load: {err.text}; mend it"]) from err
    modules = [parse(path, text) for path, text in texts.items()]
    if unread := [str(finding) for finding in _unread(modules, bundle)]:
        raise PolicyLoadError(unread)
    engine.watch()
    results: list[TestResult] = []
    coverage: dict[str, LineCoverage] = {}
    for name, path, line in _tests(modules, bundle):
        if named not in name or (within is not None and path not in within):
            continue
        results.append(_run(engine, name, path, line))
        add_coverage(coverage, read_coverage(engine.coverage()))
    told = bundle.modules if within is None else bundle.modules.keys() & {*within}
    return TestRun(
        tuple(results), {path: coverage[path] for path in sorted(told) if path in coverage}
    )


def read_coverage(report: str) -> dict[str, LineCoverage]:
    """The engine's coverage report, per file."""
    return {
        file["path"]: LineCoverage(frozenset(file["covered"]), frozenset(file["not_covered"]))
        for file in json.loads(report)["files"]
    }


def _unread(modules: Sequence[Module], bundle: PolicyBundle) -> Iterator[Finding]:
    """Public rules of test modules that are neither run nor used: misspelt tests."""
    names = Names(modules)
    used = {
        path
        for module in modules
        for rule in module.rules
        for path in names.references(module, rule)
    }
    for module in modules:
        for rule in module.rules if module.path in bundle.tests else ():
            name = rule.path[-1]
            is_used = name.startswith(("test_", "_")) or absolute(module, rule) in used
            if not is_used:
                yield Finding(
                    module.path,
                    rule.position,
                    "rego.unread_rule",
                    f"`{name}` is no test and nothing uses it",
                    "call it `test_...`, or remove it",
                )


def _tests(modules: Sequence[Module], bundle: PolicyBundle) -> Iterator[tuple[str, str, int]]:
    seen: set[str] = set()
    for module in modules:
        if module.path not in bundle.tests:
            continue
        for rule in module.rules:
            name = ".".join(("data", *module.package, *rule.path))
            if rule.path[-1].startswith("test_") and name not in seen:
                seen.add(name)
                yield name, module.path, rule.position.line


def _run(engine: Engine, name: str, path: str, line: int) -> TestResult:
    began = perf_counter()
    outcome: Literal["pass", "fail", "error"]
    try:
        outcome, detail = "pass" if engine.ask(name, "{}") == "true" else "fail", ""
    except EngineError as err:
        outcome, detail = "error", err.text
    seconds = perf_counter() - began
    return TestResult(name, path, line, outcome, detail, tuple(engine.prints()), seconds)


def add_coverage(coverage: dict[str, LineCoverage], more: Mapping[str, LineCoverage]) -> None:
    """Adds what another evaluation covered."""
    for path, lines in more.items():
        old = coverage.get(path, LineCoverage(frozenset(), lines.covered | lines.missed))
        covered = old.covered | lines.covered
        coverage[path] = LineCoverage(covered, (old.missed | lines.missed) - covered)
