"""`wardline doctor`: what isolation this machine can give, and how to get what is missing.

Exit codes: 0 at least one backend works, 6 none does.
"""

from __future__ import annotations

import json as json_text
from typing import Annotated

import anyio
import typer

from permissions.approval.approvers import Approvers
from permissions.errors import ConfigError, SigningError
from permissions.setup.config import BrokerConfig
from permissions.setup.sandboxes import profiles, unusable_profiles
from permissions.signing.keys import signer_from_uri
from sandbox.doctor import (
    Finding,
    can_isolate,
    diagnose,
    host_facts,
)

EXIT_UNAVAILABLE = 6


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Say what isolation this machine can give and what is missing.

    The settings are looked at too: approvers' keys, the log's key, and profiles with their images.
    """
    findings = [*anyio.run(diagnose), *_settings()]
    host = host_facts()
    if json:
        document = {"host": host, "findings": [_document(finding) for finding in findings]}
        typer.echo(json_text.dumps(document, indent=2, sort_keys=True))
    else:
        _print(findings, host)
    if not can_isolate(findings):
        raise typer.Exit(EXIT_UNAVAILABLE)


def _settings() -> list[Finding]:
    """What would keep a broker from opening, or a tool from running in its profile."""
    try:
        config = BrokerConfig.load()
        Approvers.from_config(config.approvers)
        if config.trace.key:
            signer_from_uri(config.trace.key)
        named = profiles(config)
    except (ConfigError, SigningError) as err:
        return [_unusable("settings", str(err), "mend wardline.toml or the variable")]
    wrong = anyio.run(unusable_profiles, named)
    return [
        _unusable(f"sandbox profile {name}", said, "name another image in wardline.toml")
        for name, said in sorted(wrong.items())
    ]


def _unusable(subject: str, detail: str, remedy: str) -> Finding:
    return Finding(subject, None, works=False, detail=detail, remedy=remedy, facts={})


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
