"""`wardline assure gate`: may this release go out? One exit code, and evidence that is kept."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.assurance.terms import DEFAULT_TERMS, PARTS
from permissions.cli.assure.options import (  # noqa: TC001 - typer reads the hints
    AsJson,
    Config,
    Evidence,
    Thresholds,
)
from permissions.errors import ConfigError
from permissions.gathered import DEFAULT_FOLDER

if TYPE_CHECKING:
    from permissions.assurance.verdict import GateVerdict
    from permissions.cli.assure.scene import Scene


def gate(
    *,
    thresholds: Thresholds = Path(DEFAULT_TERMS),
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PART",
            help=f"Measure only this part anew; repeatable. One of {', '.join(PARTS)}.",
        ),
    ] = None,
    evidence: Evidence = Path(DEFAULT_FOLDER),
    junit: Annotated[
        Path | None, typer.Option("--junit", dir_okay=False, help="Write JUnit XML.")
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option("--sarif", dir_okay=False, help="Write SARIF 2.1.0.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", dir_okay=False, help="Write the summary as Markdown."),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Decide whether a release may go out.

    Measures the policies (sound, tested, nothing newly allowed), the evaluation against its
    thresholds and the last release, the sandboxes, the record, what would become of last week's
    calls, and the risk register. What could not be measured is not passed. Only an exemption
    that a person signed lets a finding by (`wardline assure exempt`).

    Each result is kept. With --only the others count as they were kept, when they are not too
    old and were measured with the same policies, thresholds and tools.

    \b
    Examples:
      $ wardline assure gate
      $ wardline assure gate --only policy-diff --only register
      $ wardline assure gate --junit gate.xml --sarif gate.sarif --summary gate.md
    """
    from permissions.assurance import reports
    from permissions.cli.assure.scene import open_scene

    if unknown := [part for part in only or () if part not in PARTS]:
        raise ConfigError(f"--only: {unknown[0]!r:.40} is none of {', '.join(PARTS)}")
    scene = open_scene(thresholds, config, evidence)
    wanted = [part for part in PARTS if not only or part in only]
    verdict = _judged(scene, wanted)
    for path, text in (
        (junit, reports.junit(verdict)),
        (sarif, json.dumps(reports.sarif(verdict, str(thresholds)), indent=2) + "\n"),
        (summary, reports.markdown(verdict)),
    ):
        if path is not None:
            path.write_text(text, "utf-8")
    if as_json:
        typer.echo(json.dumps(reports.document(verdict), indent=2))
    else:
        typer.echo(reports.summary(verdict), nl=False)
    if not verdict.holds:
        raise typer.Exit(1)


def _judged(scene: Scene, wanted: list[str]) -> GateVerdict:
    """Measures what is wanted, keeps it, and judges all of it."""
    from permissions.approval.approvers import Approvers
    from permissions.assurance.exemption import read_exemptions
    from permissions.assurance.verdict import gate_result, judge_gate
    from permissions.broker.ports import now_us
    from permissions.cli.assure.exempt import bounds_of
    from permissions.cli.assure.measuring import measure

    approvers = Approvers.from_config(scene.settings.approvers)
    for number, part in enumerate(wanted, start=1):
        typer.echo(f"{number} of {len(wanted)}: {part} ...", err=True)
        began = time.monotonic()
        result = measure(part, scene)
        scene.gathered.keep(result)
        seconds = time.monotonic() - began
        typer.echo(f"  {result.outcome}, {seconds:.0f} s: {result.sentence}", err=True)
    now = now_us()
    held, refused = read_exemptions(
        scene.terms.exemptions.file, approvers, bounds_of(scene.terms), now
    )
    verdict = judge_gate(
        scene.gathered.all(),
        new=wanted,
        basis={part: scene.basis(part) for part in PARTS},
        exemptions=held,
        refused=refused,
        revision=scene.revision,
        kept_hours=scene.terms.kept_hours,
        now=now,
    )
    scene.gathered.keep(gate_result(verdict))
    return verdict
