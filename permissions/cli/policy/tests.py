"""`wardline policy test`: runs the tests of a folder of policies."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli.policy.folder import (
    AsJson,
    Folder,
    Overlay,
    print_json,
    shown,
    sound,
    spans,
)
from permissions.errors import BrokerError
from permissions.pdp.bundle import shipped_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonObject
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.policy_tests import TestRun

_WATCH_SECONDS = 0.5


def run_test_rules(
    folder: Folder = None,
    *,
    overlay: Overlay = None,
    run: Annotated[str, typer.Option(help="Only the tests with this in their name.")] = "",
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Show the rules and lines no test evaluates.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Fail below this percentage of lines."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the results as JUnit XML.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run them again whenever a file changes.")
    ] = False,
    timing: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show the N tests that took longest."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the tests of a folder of policies.

    These are the rules `test_*` of the files `*_test.rego`, and the tables `*_test.yaml`, run
    by the engine that decides. With --overlay only that folder's own tests run, on top of the
    policies below it.

    \b
    Examples:
      $ wardline policy test --overlay mine
      $ wardline policy test --overlay mine --run payment --watch
      $ wardline policy test --overlay mine --threshold 90 --junit report.xml
    """
    while True:
        seen = _state(folder, overlay) if watch else None
        try:
            bundle = sound(folder, overlay)
            done = results_of(bundle, overlay or folder or shipped_folder(), named=run)
        except BrokerError as err:
            if not watch:
                raise
            typer.echo(shown(str(err)), err=True)
        else:
            if junit is not None:
                from permissions.authoring.junit import junit as as_junit

                junit.write_text(as_junit(done), "utf-8")
            if as_json:
                print_json(_run_document(done))
            else:
                _print_run(done, bundle, coverage=coverage or threshold is not None)
                _print_slowest(done, timing or 0)
            if not watch:
                below = threshold is not None and done.covered_share * 100 < threshold
                raise typer.Exit(0 if done.passed and not below else 1)
        while seen == _state(folder, overlay):
            time.sleep(_WATCH_SECONDS)


def results_of(bundle: PolicyBundle, own: Path, *, named: str = "") -> TestRun:
    """The results of the tests of one folder, under these policies.

    Args:
        bundle: the policies, which the folder is a part of.
        own: the folder.
        named: a part of the names of those that are run.

    Raises:
        ConfigError: a module of tools cannot be imported.
        PolicyLoadError: a test cannot be loaded.
    """
    from permissions.authoring.table_tests import run_tables
    from permissions.cli.tools_of import definitions_in
    from permissions.pdp.policy_tests import TestRun, add_coverage, run_tests

    paths = {path.relative_to(own).as_posix() for path in own.rglob("*.rego")}
    rules = run_tests(bundle, within=paths, named=named)
    tables = run_tables(bundle, own, load_tools=definitions_in, named=named)
    joined = dict(rules.coverage)
    add_coverage(joined, {k: v for k, v in tables.coverage.items() if k in paths})
    return TestRun((*rules.results, *tables.results), joined)


def _state(folder: Path | None, overlay: Path | None) -> frozenset[tuple[str, int]]:
    """Every file of the policies with when it changed."""
    return frozenset(
        (str(path), path.stat().st_mtime_ns)
        for root in (folder, overlay)
        if root is not None
        for path in root.rglob("*")
        if path.is_file()
    )


def _print_run(done: TestRun, bundle: PolicyBundle, *, coverage: bool) -> None:
    for result in done.results:
        if result.outcome != "pass":
            at = f"{result.path}:{result.line}"
            typer.echo(f"{result.outcome.upper()} {shown(result.name)} ({shown(at)})")
            for line in (*result.prints, *result.detail.splitlines()):
                typer.echo(f"  {shown(line)}")
    if coverage:
        for path, found in sorted(done.coverage.items()):
            missed = f" missed {spans(found.missed)}" if found.missed else ""
            total = len(found.covered) + len(found.missed)
            typer.echo(f"{shown(path)}: {len(found.covered)}/{total} lines{missed}")
            for rule in _missed_rules(bundle, path, found.missed):
                typer.echo(f"  {shown(rule)}")
        typer.echo(f"coverage {done.covered_share:.1%}")
    passed = sum(result.outcome == "pass" for result in done.results)
    typer.echo(f"{passed} of {len(done.results)} tests passed")


def _print_slowest(done: TestRun, most: int) -> None:
    for result in sorted(done.results, key=lambda each: -each.seconds)[:most]:
        typer.echo(shown(f"{result.seconds * 1000:7.1f} ms  {result.name}"))


def _missed_rules(bundle: PolicyBundle, path: str, missed: frozenset[int]) -> Iterator[str]:
    """The rules of a module with a line that no test evaluates."""
    from permissions.pdp.regorus.parse import parse

    rules = parse(path, bundle.modules[path]).rules
    ends = [*(rule.position.line for rule in rules[1:]), 2**31]
    for rule, end in zip(rules, ends, strict=True):
        lines = frozenset(line for line in missed if rule.position.line <= line < end)
        if lines:
            name = f"{'.'.join(rule.path)} (line {rule.position.line})"
            yield f"{name}: no test evaluates {spans(lines)}"


def _run_document(done: TestRun) -> JsonObject:
    return {
        "passed": done.passed,
        "results": [asdict(result) for result in done.results],
        "covered_share": done.covered_share,
        "coverage": {
            path: {"covered": sorted(found.covered), "missed": sorted(found.missed)}
            for path, found in sorted(done.coverage.items())
        },
    }
