"""`wardline policy shadow`: what packages in the shadow would have done."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli.policy.folder import AsJson, print_json, shown

if TYPE_CHECKING:
    from permissions.authoring.shadow_report import ShadowReport, ShadowRow
    from permissions.model import JsonObject

_WORDS = {"allow": "allowed", "ask": "asked a person", "deny": "denied", None: "failed"}


def shadow(
    *,
    state: Annotated[
        Path | None, typer.Option("--dir", help="The state folder or trace to read.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what packages in the shadow would have done.

    A package with `shadow: true` in its metadata is evaluated with every call and decides none.
    This lists, by package, rule and tool, what it would have denied, asked a person about, or
    allowed, with the values it compared and calls to look at.

    \b
    Examples:
      $ wardline policy shadow
      $ wardline policy shadow --dir .wardline --json
    """
    from permissions.authoring.shadow_report import shadow_report
    from permissions.cli.trace_source import TraceSource
    from permissions.trace.reader import read_entries

    source = TraceSource(state, config)
    report = shadow_report(read_entries(source.trace), source.vault(), source.bundles)
    if as_json:
        print_json(_document(report))
        return
    for row in report.rows:
        _print(row)
    rules = (
        f"{len(report.rows)} rule(s) spoke" if report.rows else "no rule in the shadow spoke"
    )
    typer.echo(f"{rules}; {report.changed} of {report.decisions} decisions would change")


def _print(row: ShadowRow) -> None:
    typer.echo(shown(f"{row.package}  {row.code}  {row.tool}"))
    for (was, would), many in sorted(row.changes.items(), key=str):
        if was == would:
            typer.echo(f"  {many:,} x  no change: {_WORDS[was]} as before")
        else:
            typer.echo(f"  {many:,} x  would be {_WORDS[would]}, was {_WORDS[was]}")
    if row.said is not None:
        text = row.said.get("operator") or row.said.get("agent") or ""
        typer.echo(shown(f"  e.g. {text}"))
    typer.echo(shown(f"  calls {', '.join(row.examples)}"))


def _document(report: ShadowReport) -> JsonObject:
    return {
        "decisions": report.decisions,
        "changed": report.changed,
        "rows": [
            {
                "package": row.package,
                "code": row.code,
                "tool": row.tool,
                "count": row.count,
                "changed": row.changed,
                "newly_allowed": row.allowed,
                "changes": [
                    {"was": was, "would": would, "count": many}
                    for (was, would), many in sorted(row.changes.items(), key=str)
                ],
                "said": row.said,
                "calls": [*row.examples],
            }
            for row in report.rows
        ],
    }
