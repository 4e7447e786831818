"""`wardline doctor`: what would keep a broker from working here, and how to mend it.

Exit codes: 0 fine, 1 the settings, a key, an approver or the policies cannot be used, 6 no
backend can isolate.
"""

from __future__ import annotations

import json as json_text
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from permissions.approval import stages
from permissions.approval.approvers import Approvers
from permissions.approval.text import visible
from permissions.cli.program import EXIT_FAILED, EXIT_UNAVAILABLE
from permissions.cli.tools_of import unmarked_in
from permissions.errors import BrokerError, ConfigError, PolicyLoadError
from permissions.model import AccessRequestTerms
from permissions.pdp.lint.bundle import require_sound
from permissions.setup.config import BrokerConfig
from permissions.setup.layout import StateLayout
from permissions.setup.policies import load_policies
from permissions.setup.sandboxes import profiles, unusable_profiles
from permissions.setup.settings_file import settings_file
from permissions.setup.trust import TrustList
from permissions.signing.key_uris import secret_from_uri, signer_from_uri
from permissions.trace.vault import load_kek
from sandbox.doctor import Finding, can_isolate, diagnose, host_facts

if TYPE_CHECKING:
    from collections.abc import Iterator


def doctor(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
    tools: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE", help="Also say which arguments of its tools have no mark."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Check the settings, keys and isolation of this machine.

    Says which settings file is in force, and for each thing that does not work how to get it.

    \b
    Examples:
      $ wardline doctor
      $ wardline doctor --tools my_agent.tools
      $ wardline doctor --json | jq '.findings[] | select(.works | not)'
    """
    own = [*_own(config), *(_of_tools(tools) if tools is not None else ())]
    findings = [*own, *anyio.run(diagnose)]
    host = host_facts()
    if json:
        document = {
            "host": host,
            "settings": _in_force(config),
            "findings": [_document(finding) for finding in findings],
        }
        typer.echo(json_text.dumps(document, indent=2, sort_keys=True))
    else:
        _print(findings, host)
    if not all(finding.works for finding in own):
        raise typer.Exit(EXIT_FAILED)
    if not can_isolate(findings):
        raise typer.Exit(EXIT_UNAVAILABLE)


def _in_force(named: Path | None) -> dict[str, Any]:
    """Which settings file is meant, who chose it, and whether it is obeyed."""
    try:
        source = settings_file(named)
        if source is None:
            return {"file": None, "origin": "defaults", "obeyed": True}
        obeyed = source.origin != "found" or TrustList().trusts(source.path, source.content)
    except ConfigError:
        return {"file": None, "origin": "unusable", "obeyed": False}
    return {"file": str(source.path), "origin": source.origin, "obeyed": obeyed}


def _own(named: Path | None) -> Iterator[Finding]:
    """What would keep a broker from opening, or a tool from running in its profile."""
    try:
        config = BrokerConfig.load(named)
    except ConfigError as err:
        yield _unusable("settings", str(err), "mend what it says, then run doctor again")
        return
    source = config.source
    yield _usable(
        "settings",
        "no wardline.toml here or above: defaults and WARDLINE_* variables"
        if source is None
        else f"{source.path} ({_CHOSEN[source.origin]})",
    )
    yield from _keys(config)
    try:
        approvers = Approvers.from_config(config.approvers)
        bundle = load_policies(config).bundle
        require_sound(bundle)
        yield _usable("approvers", _said_of(approvers, bundle.data))
    except PolicyLoadError as err:
        yield _unusable("policies", str(err), "mend the folder that [pdp] names")
    except BrokerError as err:
        yield _unusable("approvers", str(err), "mend [approvers.NAME] in the settings")
    try:
        wrong = anyio.run(unusable_profiles, profiles(config))
    except ConfigError as err:
        yield _unusable("sandbox profiles", str(err), "mend [sandbox.profiles]")
        return
    for name, said in sorted(wrong.items()):
        yield _unusable(f"sandbox profile {name}", said, "name another image in the settings")


def _of_tools(module: str) -> Iterator[Finding]:
    """Arguments that no policy can judge, because nobody said what they are."""
    found = unmarked_in(module)
    for said in found:
        yield _unusable("tools", said, "mark the argument, or say that it is free text")
    if not found:
        yield _usable("tools", f"each argument of {module} has a mark or needs none")


_CHOSEN = {"named": "named", "variable": "by WARDLINE_CONFIG", "found": "found, trusted"}


def _keys(config: BrokerConfig) -> Iterator[Finding]:
    """The keys a broker opens with, as far as they are there: the others it makes."""
    layout = StateLayout(config.state)
    try:
        if config.trace.key:
            signer_from_uri(config.trace.key)
        elif layout.log_key.exists():
            signer_from_uri(f"file:{layout.log_key}")
        if config.trace.vault_key:
            secret_from_uri(config.trace.vault_key)
        elif layout.kek.exists():
            load_kek(layout.kek)
    except (BrokerError, OSError) as err:
        yield _unusable("keys", str(err), "restore the key, or name another in the settings")
    else:
        yield _usable("keys", f"state folder {layout.root}")


def _terms(asked: dict[str, Any]) -> AccessRequestTerms:
    """Of a table whose form was checked."""
    each = asked.get("stages", [])
    return AccessRequestTerms.model_validate(
        {
            "approvers": sorted({group for stage in each for group in stage["approvers"]}),
            "quorum": sum(stage["quorum"] for stage in each),
            **asked,
        }
    )


def _said_of(approvers: Approvers, data: dict[str, Any]) -> str:
    """Who can approve, and which calls nobody can, by the shipped table of terms."""
    known = list(approvers)
    if not known:
        return "nobody: a call that needs a person is refused (wardline init makes you one)"
    said = [f"{len(known)}: {', '.join(each.id for each in known)}"]
    tables = data.get("wardline", {}).get("tables", {})
    terms = tables.get("approval", {}).get("terms", {})
    for impact, asked in sorted(terms.items()):
        wanted = _terms(asked)
        if not stages.can_be_met(wanted, known):
            able = sum(not each.groups.isdisjoint(wanted.approvers) for each in known)
            said.append(
                f"calls of {impact} impact need {stages.in_words(wanted)}, and there"
                f" {'is' if able == 1 else 'are'} {able}"
            )
    return "; ".join(said)


def _usable(subject: str, detail: str) -> Finding:
    return Finding(subject, None, works=True, detail=detail, remedy="", facts={})


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
        typer.echo(visible(f"{mark} {finding.subject}{boundary}: {finding.detail}"))
        if finding.remedy:
            typer.echo(visible(f"      to get it: {finding.remedy}"))
        for name, value in sorted(finding.facts.items()):
            typer.echo(visible(f"      {name}: {value}"))
