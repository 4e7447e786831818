"""`wardline sandbox probe`: the abuse suite against every backend of this machine.

Exit codes: 0 every promised row is blocked, 6 a promised row is open, or no backend works.
"""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.probes import Finding

EXIT_OPEN = 6

MARKS = {"blocked": "blocked", "open": "OPEN", "not_applicable": "-"}


def probe(
    *,
    backend: Annotated[
        list[str] | None, typer.Option(help="Only this backend; may be repeated.")
    ] = None,
    case: Annotated[
        list[int] | None, typer.Option(min=1, max=74, help="Only this case; may be repeated.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Attempt every abuse case on every backend of this machine.

    A case that a backend does not promise is marked `open (not promised)` and does not count.
    """
    from sandbox.probes import COLUMNS

    unknown = sorted(set(backend or ()) - set(COLUMNS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(COLUMNS)}")
    findings, missing = anyio.run(_run, backend or [], case or [])
    if json:
        typer.echo(json_text.dumps(document(findings, missing), indent=2, sort_keys=True))
    else:
        _print(findings, missing)
    if not is_kept(findings):
        raise typer.Exit(EXIT_OPEN)


def is_kept(findings: Sequence[Finding]) -> bool:
    """True when something was attempted and every promise held."""
    return bool(findings) and not any(found.broken for found in findings)


async def _run(backends: list[str], numbers: list[int]) -> tuple[list[Finding], dict[str, str]]:
    from sandbox.probes import columns_here, run_probes

    columns, missing = await columns_here(backends)
    try:
        return await run_probes(columns, numbers=numbers, progress=_progress), missing
    finally:
        for column in columns:
            await column.sandbox.aclose()


def _progress(found: Finding) -> None:
    typer.echo(f"{found.number:2} {found.column}: {found.outcome.status}", err=True)


def document(findings: Sequence[Finding], missing: dict[str, str]) -> dict[str, Any]:
    """The table as plain JSON."""
    from sandbox.probes import PROBES

    return {
        "missing": missing,
        "broken": sorted({found.number for found in findings if found.broken}),
        "rows": [
            {
                "number": number,
                "title": PROBES[number].title,
                "expected": PROBES[number].expected,
                "results": {
                    found.column: {
                        "status": found.outcome.status,
                        "detail": found.outcome.detail,
                        "promised": found.promised,
                    }
                    for found in findings
                    if found.number == number
                },
            }
            for number in sorted({found.number for found in findings})
        ],
    }


def _print(findings: Sequence[Finding], missing: dict[str, str]) -> None:
    from sandbox.probes import PROBES

    last = 0
    for found in findings:
        if found.number != last:
            last = found.number
            typer.echo(f"{found.number:2} {PROBES[found.number].title}")
        mark = MARKS[found.outcome.status]
        if found.outcome.status == "open" and not found.promised:
            mark = "open (not promised)"
        typer.echo(f"     {found.column:<12} {mark:<8} {found.outcome.detail}")
    for name, reason in missing.items():
        typer.echo(f"   {name}: {reason}")
    for column in dict.fromkeys(found.column for found in findings):
        mine = [found for found in findings if found.column == column]
        held = sum(found.outcome.status == "blocked" for found in mine)
        unmet = sum(found.broken for found in mine)
        waived = sum(found.outcome.status == "open" for found in mine) - unmet
        absent = len(mine) - held - unmet - waived
        typer.echo(
            f"{column}: {held} blocked, {unmet} open, {waived} open and not promised,"
            f" {absent} not applicable"
        )
