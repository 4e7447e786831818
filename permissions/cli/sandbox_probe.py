"""`wardline sandbox probe`: the abuse suite against every backend of this machine.

Exit codes: 0 every promised row that applies is blocked, 1 one could not be tried, 6 one is
open, or no backend works.
"""

from __future__ import annotations

import json as json_text
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.probes import Finding

EXIT_UNTRIED = 1
EXIT_OPEN = 6

MARKS = {
    "blocked": "blocked",
    "open": "OPEN",
    "not_tried": "NOT TRIED",
    "not_applicable": "not applicable",
}


def probe(
    *,
    backend: Annotated[
        list[str] | None, typer.Option(help="Only this backend; may be repeated.")
    ] = None,
    case: Annotated[
        list[int] | None, typer.Option(min=1, help="Only this case; may be repeated.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Attempt every abuse case on every backend of this machine.

    A case that a backend does not promise is marked `(not promised)` and does not count. Exits
    with 0 when all others are blocked, 1 when one could not be tried, 6 when one is open.
    """
    from sandbox.probes import COLUMNS, PROBES

    unknown = sorted(set(backend or ()) - set(COLUMNS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(COLUMNS)}")
    if absent := sorted(set(case or ()) - PROBES.keys()):
        raise typer.BadParameter(f"{absent[0]} is none of the cases 1 to {max(PROBES)}")
    findings, missing = anyio.run(probed, backend or [], case or [])
    if json:
        typer.echo(json_text.dumps(document(findings, missing), indent=2, sort_keys=True))
    else:
        print_table(findings, missing)
    if code := exit_code(findings):
        raise typer.Exit(code)


def exit_code(findings: Sequence[Finding]) -> int:
    """What the findings come to: an open promise weighs more than one nobody can speak for."""
    if not findings or any(found.broken for found in findings):
        return EXIT_OPEN
    return EXIT_UNTRIED if any(found.untried for found in findings) else 0


async def probed(
    backends: list[str], numbers: list[int]
) -> tuple[list[Finding], dict[str, str]]:
    """What every case finds on the backends here, told as it goes; and why a backend is missing."""
    from sandbox.probes import columns_here, run_probes

    columns, missing = await columns_here(backends)
    try:
        return await run_probes(columns, numbers=numbers, progress=_progress), missing
    finally:
        for column in columns:
            await column.sandbox.aclose()


def _progress(found: Finding) -> None:
    typer.echo(f"{found.number:2} {found.column}: {_mark(found)}", err=True)


def _mark(found: Finding) -> str:
    mark = MARKS[found.outcome.status]
    if found.promised or found.outcome.status not in ("open", "not_tried"):
        return mark
    return f"{mark.lower()} (not promised)"


def document(findings: Sequence[Finding], missing: dict[str, str]) -> dict[str, Any]:
    """The table as plain JSON."""
    from sandbox.probes import PROBES

    return {
        "missing": missing,
        "broken": sorted({found.number for found in findings if found.broken}),
        "not_tried": sorted({found.number for found in findings if found.untried}),
        "rows": [
            {
                "number": number,
                "title": PROBES[number].title,
                "expected": PROBES[number].expected,
                "open_without": PROBES[number].without,
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


def print_table(findings: Sequence[Finding], missing: dict[str, str]) -> None:
    """Prints each finding, what each backend comes to, and the promises that were not seen to hold."""
    from sandbox.probes import PROBES

    last = 0
    for found in findings:
        if found.number != last:
            last = found.number
            typer.echo(f"{found.number:2} {PROBES[found.number].title}")
        typer.echo(f"     {found.column:<12} {_mark(found):<14} {found.outcome.detail}")
        if found.broken:
            typer.echo(f"     {'':<12} {'':<14} is there {PROBES[found.number].without}?")
    for name, reason in missing.items():
        typer.echo(f"   {name}: {reason}")
    for column in dict.fromkeys(found.column for found in findings):
        mine = [found for found in findings if found.column == column]
        said = Counter(found.outcome.status for found in mine)
        unpromised = sum(not found.promised for found in mine if found.outcome.status == "open")
        typer.echo(
            f"{column}: {said['blocked']} blocked, {said['open'] - unpromised} open,"
            f" {unpromised} open and not promised, {said['not_tried']} not tried,"
            f" {said['not_applicable']} not applicable"
        )
    for what, numbers in (
        ("open", sorted({found.number for found in findings if found.broken})),
        ("not tried", sorted({found.number for found in findings if found.untried})),
    ):
        if numbers:
            typer.echo(f"promised and {what}: {', '.join(map(str, numbers))}")
