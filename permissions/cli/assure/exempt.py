"""`wardline assure exempt`: a person lets one finding of the gate by, signed and for a while."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.assurance.terms import DEFAULT_TERMS
from permissions.cli.assure.options import (  # noqa: TC001 - typer reads the hints
    AsJson,
    Evidence,
    Thresholds,
)
from permissions.errors import ConfigError
from permissions.gathered import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.assurance.exemption import Bounds
    from permissions.assurance.terms import Terms
    from permissions.gathered import Finding, Gathered


def exempt(
    finding: Annotated[str, typer.Argument(metavar="ID", help="Id of a finding of the gate.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why it may pass.")],
    until: Annotated[
        str, typer.Option("--until", metavar="DAY", help="Its last day, as 2027-01-31.")
    ],
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            envvar="WARDLINE_APPROVER_KEY",
            help="Your key: file:PATH, env:NAME, ssh-agent:NAME.",
        ),
    ] = None,
    thresholds: Thresholds = Path(DEFAULT_TERMS),
    evidence: Evidence = Path(DEFAULT_FOLDER),
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let one finding of the gate by, signed with your approver key.

    It holds for this finding, until its end, and is on the summary and the system card. A
    sign-off of something newly allowed holds for exactly the policies it was found under. The
    signed line is added to the file that the thresholds name; commit it.

    \b
    Examples:
      $ wardline assure exempt 3a9c1f4b7d20 --until 2027-01-31 --reason "SEC-7" --key file:olga.pem
    """
    from permissions import files
    from permissions.approval.approvers import Approvers
    from permissions.assurance.exemption import sign_exemption
    from permissions.assurance.terms import read_terms
    from permissions.broker.ports import now_us
    from permissions.gathered import Gathered
    from permissions.setup.config import BrokerConfig
    from permissions.signing.key_uris import signer_from_uri

    if not key:
        raise ConfigError(
            "an exemption is signed: give --key file:PATH or WARDLINE_APPROVER_KEY"
        )
    terms = read_terms(thresholds)
    about = _named(Gathered(evidence), finding)
    settings = BrokerConfig.load(config)
    signer = signer_from_uri(key)
    approver = Approvers.from_config(settings.approvers).holding(signer.public)
    line = sign_exemption(
        about,
        reason=reason,
        until=_day(until),
        approver=approver,
        bounds=bounds_of(terms),
        now=now_us(),
        signer=signer,
    )
    path = terms.exemptions.file
    before = path.read_bytes() if path.exists() else b""
    files.replace(path, before + line + b"\n", mode=0o644)
    if as_json:
        said = {"finding": about.id, "code": about.code, "by": approver.id, "until": until}
        typer.echo(json.dumps({**said, "file": str(path)}))
        return
    typer.echo(f"{about.id}  {about.code}: {about.text}")
    typer.echo(f"let by until {until}, says {approver.id}; commit {path}")


def bounds_of(terms: Terms) -> Bounds:
    """Who may let a finding by, and for how long."""
    from permissions.assurance.exemption import Bounds

    return Bounds(frozenset(terms.exemptions.groups), terms.exemptions.days)


def _named(gathered: Gathered, wanted: str) -> Finding:
    from permissions.assurance.verdict import GATE_PART

    found = {each.id: each for each in _findings(gathered, GATE_PART)}
    if wanted not in found:
        raise ConfigError(
            f"{wanted!r:.40} is no finding of the last gate ({len(found)} findings); wardline"
            " assure gate lists them"
        )
    return found[wanted]


def _findings(gathered: Gathered, gate: str) -> Iterator[Finding]:
    if (last := gathered.newest(gate)) is not None:
        yield from last.findings


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as err:
        raise ConfigError(f"--until {text!r:.40} is no day, as 2027-01-31") from err
