"""`wardline assure check`: what is wrong with the risk register."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from permissions.assurance.terms import DEFAULT_TERMS
from permissions.cli.assure.options import (  # noqa: TC001 - typer reads the hints
    AsJson,
    Config,
    Evidence,
    Thresholds,
)
from permissions.gathered import DEFAULT_FOLDER

if TYPE_CHECKING:
    from permissions.gathered import PartResult


def check(
    *,
    thresholds: Thresholds = Path(DEFAULT_TERMS),
    evidence: Evidence = Path(DEFAULT_FOLDER),
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check the risk register.

    Finds mitigations that do not exist, decide nothing, have no test, failed in their last run
    or were measured under other policies; risks without an owner or past their day; and tools
    that no risk covers. What ran last is read from the gate's folder.

    \b
    Examples:
      $ wardline assure check
      $ wardline assure check --json
    """
    from permissions.cli.assure.measuring import measure_register
    from permissions.cli.assure.scene import open_scene

    result = measure_register(open_scene(thresholds, config, evidence))
    if as_json:
        typer.echo(json.dumps(_document(result), indent=2))
    else:
        for finding in result.findings:
            typer.echo(f"{finding.file}:{finding.line}: {finding.code}: {finding.text}")
        typer.echo(result.sentence)
    if result.outcome != "passed":
        raise typer.Exit(1)


def _document(result: PartResult) -> dict[str, object]:
    return {
        "holds": result.outcome == "passed",
        "sentence": result.sentence,
        "policies": result.policies,
        "findings": [
            {"id": each.id, **each.model_dump(mode="json")} for each in result.findings
        ],
    }
