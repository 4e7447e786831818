"""`wardline doctor`: what isolation this machine can give, and how to get what is missing.

Exit codes: 0 at least one backend works, 6 none does.
"""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from sandbox.doctor import can_isolate, diagnose, host_facts

if TYPE_CHECKING:
    from sandbox.doctor import Finding

EXIT_UNAVAILABLE = 6


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Say what isolation this machine can give and what is missing."""
    findings = anyio.run(diagnose)
    host = host_facts()
    if json:
        document = {"host": host, "findings": [_document(finding) for finding in findings]}
        typer.echo(json_text.dumps(document, indent=2, sort_keys=True))
    else:
        _print(findings, host)
    if not can_isolate(findings):
        raise typer.Exit(EXIT_UNAVAILABLE)


def _document(finding: Finding) -> dict[str, object]:
    return {
        "subject": finding.subject,
        "isolation": finding.isolation,
        "works": finding.works,
        "detail": finding.detail,
        "remedy": finding.remedy,
        "facts": dict(finding.facts),
    }


def _print(findings: list[Finding], host: dict[str, object]) -> None:
    typer.echo(f"{host['system']} {host['kernel']} {host['machine']}, uid {host['uid']}")
    for finding in findings:
        mark = "yes" if finding.works else "no "
        boundary = f" ({finding.isolation})" if finding.isolation else ""
        typer.echo(f"{mark} {finding.subject}{boundary}: {finding.detail}")
        if finding.remedy:
            typer.echo(f"      to get it: {finding.remedy}")
        for name, value in sorted(finding.facts.items()):
            typer.echo(f"      {name}: {value}")
