"""`wardline policy test`: runs the tests of a folder of policies."""

from __future__ import annotations

from dataclasses import asdict
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

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.pdp.policy_tests import TestRun


def run_test_rules(
    folder: Folder = None,
    *,
    overlay: Overlay = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Show the lines no test evaluates.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the tests of a folder of policies.

    These are the rules `test_*` of the files `*_test.rego`, run by the engine that decides.

    \b
    Examples:
      $ wardline policy test --overlay mine --coverage
    """
    from permissions.pdp.policy_tests import run_tests

    bundle = sound(folder, overlay)
    run = run_tests(bundle)
    if as_json:
        print_json(_run_document(run))
    else:
        _print_run(run, coverage=coverage)
    raise typer.Exit(0 if run.passed else 1)


def _print_run(run: TestRun, *, coverage: bool) -> None:
    for result in run.results:
        if result.outcome != "pass":
            at = f"{result.path}:{result.line}"
            typer.echo(f"{result.outcome.upper()} {shown(result.name)} ({shown(at)})")
            for line in (*result.prints, *result.detail.splitlines()):
                typer.echo(f"  {shown(line)}")
    if coverage:
        for path, found in sorted(run.coverage.items()):
            missed = f" missed {spans(found.missed)}" if found.missed else ""
            total = len(found.covered) + len(found.missed)
            typer.echo(f"{shown(path)}: {len(found.covered)}/{total} lines{missed}")
        typer.echo(f"coverage {run.covered_share:.1%}")
    passed = sum(result.outcome == "pass" for result in run.results)
    typer.echo(f"{passed} of {len(run.results)} tests passed")


def _run_document(run: TestRun) -> JsonObject:
    return {
        "passed": run.passed,
        "results": [asdict(result) for result in run.results],
        "coverage": {
            path: {"covered": sorted(found.covered), "missed": sorted(found.missed)}
            for path, found in sorted(run.coverage.items())
        },
    }
