"""`wardline trace find`, `why`, `blast`, `diff`, `follow`: what a responder asks.

None of them verifies: run `wardline trace verify` first.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli import trace_answers_text, trace_text
from permissions.cli.paging import paged
from permissions.cli.trace_follow import followed
from permissions.cli.trace_source import TraceSource
from permissions.errors import ConfigError, TraceError
from permissions.inquiry.find import ContentFilter
from permissions.trace.call_filter import CallFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Full = Annotated[bool, typer.Option("--full", help="Cut no text.")]
Run = Annotated[str | None, typer.Option("--run", help="Calls of this run only.")]
Tool = Annotated[str | None, typer.Option("--tool", help="Calls of this tool only.")]

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_OUTCOMES = ("ok", "error", "withheld", "denied", "expired", "pending", "unavailable",
             "in_doubt", "unknown", "open")  # fmt: skip


def list_(
    *,
    run: Run = None,
    as_json: Json = False,
    full: Full = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """List calls in the order in which they were asked for.

    With their arguments, how they ended, and whose approval they had.

    \b
    Examples:
      $ wardline trace list
      $ wardline trace list --run run-1f9be06c --json
    """
    _print_calls(
        TraceSource(folder, config),
        CallFilter(run=run),
        ContentFilter(),
        as_json=as_json,
        full=full,
    )


def find(
    *,
    run: Run = None,
    tool: Tool = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            "--argument",
            metavar="NAME=TEXT",
            help="The argument has this text in it; =TEXT for any argument. May be repeated.",
        ),
    ] = None,
    amount: Annotated[
        str | None,
        typer.Option(metavar="FROM..TO", help="An amount in this range, as 100..500 or 1000.."),
    ] = None,
    recipient: Annotated[
        str | None, typer.Option(help="An address it sends to has this text in it.")
    ] = None,
    approver: Annotated[str | None, typer.Option(help="Who answered about it.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Who asked, or was acted for (user:alice).")
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="Code of a rule that fired, or of a reason.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help=f"How it ended: {', '.join(_OUTCOMES)}.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Asked for then or later: 2026-11-29T23:00, or 2h ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="And before this.")] = None,
    as_json: Json = False,
    full: Full = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Find calls; all that is given has to hold. Newest last.

    Arguments, amounts and recipients are sealed: calls that cannot be opened are counted.

    \b
    Examples:
      $ wardline trace find --tool pay --amount 500.. --since 2d
      $ wardline trace find --argument recipient=DE75 --outcome ok
      $ wardline trace find --rule filesystem.outside --json
    """
    if outcome is not None and outcome not in _OUTCOMES:
        raise ConfigError(f"--outcome {outcome[:40]!r} is none of {', '.join(_OUTCOMES)}")
    least, most = _amounts(amount)
    wanted = CallFilter(
        run=run,
        tool=tool,
        subject=subject,
        approver=approver,
        rule=rule,
        outcome=outcome,
        since=_time("--since", since),
        until=_time("--until", until),
    )
    inside = ContentFilter(
        arguments=tuple(_argument(each) for each in argument or ()),
        least=least,
        most=most,
        recipient=recipient,
    )
    _print_calls(TraceSource(folder, config), wanted, inside, as_json=as_json, full=full)


def why(
    call: Annotated[str, typer.Argument(metavar="CALL", help="A call's id.")],
    *,
    as_json: Json = False,
    full: Full = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Say why a call was let through or not, and by whose word.

    The rules with the values they compared, the policies of the time, where each argument came
    from, the step of the plan, and who approved what they saw.

    \b
    Examples:
      $ wardline trace why call-286ffaed
    """
    found = TraceSource(folder, config).inquiry().why(call)
    _print(found, trace_answers_text.why_text(found, full=full), as_json=as_json)


def blast(
    what: Annotated[
        str,
        typer.Argument(
            metavar="CALL|ENTRY|FILE",
            help="A call's id, the number of an entry, or a path as a call named it.",
        ),
    ],
    *,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Show everything that values from there reached.

    By provenance, through later calls, and through the files they wrote.

    \b
    Examples:
      $ wardline trace blast call-286ffaed
      $ wardline trace blast mail/1-borealis.eml
    """
    found = TraceSource(folder, config).inquiry().blast(what)
    _print(found, trace_answers_text.blast_text(found), as_json=as_json)


def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another's.")],
    *,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Compare two runs call by call.

    \b
    Examples:
      $ wardline trace diff run-1f9be06c run-77ab3e10
    """
    rows = TraceSource(folder, config).inquiry().compare(first, second)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
    else:
        paged(trace_answers_text.diff_text(rows))


def step(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")],
    *,
    full: Full = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Step through a run, call by call, with why each ended as it did.

    On a terminal it waits after each call: Enter for the next, b for the one before, q to end.

    \b
    Examples:
      $ wardline trace step run-1f9be06c
    """
    inquiry = TraceSource(folder, config).inquiry()
    calls = [each.call for each in inquiry.calls(CallFilter(run=run))]
    if not calls:
        raise TraceError(f"nothing is recorded of the run {run[:80]!r}")
    waits, at = sys.stdin.isatty() and sys.stdout.isatty(), 0
    while 0 <= at < len(calls):
        typer.echo(f"call {at + 1} of {len(calls)}")
        for line in trace_answers_text.why_text(inquiry.why(calls[at]), full=full):
            typer.echo(line)
        answer = typer.prompt("Enter, b or q", default="", show_default=False) if waits else ""
        if answer.startswith("q"):
            return
        at = max(at - 1, 0) if answer.startswith("b") else at + 1


def follow(
    *,
    run: Annotated[str | None, typer.Option("--run", help="Entries of this run only.")] = None,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Show entries as they are recorded, until interrupted.

    \b
    Examples:
      $ wardline trace follow
      $ wardline trace follow --run run-1f9be06c --json
    """
    try:
        for entry in followed(TraceSource(folder, config).trace):
            if run is not None and entry.run != run:
                continue
            line = json.dumps(entry.document()) if as_json else trace_text.entry_line(entry)
            typer.echo(line)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _print_calls(
    source: TraceSource,
    wanted: CallFilter,
    inside: ContentFilter,
    *,
    as_json: bool,
    full: bool,
) -> None:
    closed = 0

    def on_closed() -> None:
        nonlocal closed
        closed += 1

    found = (
        call.summary() for call in source.inquiry().find(wanted, inside, on_closed=on_closed)
    )
    if as_json:
        for each in found:
            typer.echo(json.dumps(each))
    else:
        paged(trace_text.call_line(each, full=full) for each in found)
    if closed:
        typer.echo(
            f"{closed} more calls cannot be opened here, so nobody knows whether they fit",
            err=True,
        )


def _print(found: object, lines: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
    else:
        paged(lines)


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise ConfigError(
            f"--argument {text[:60]!r}: write NAME=TEXT, or =TEXT for any argument"
        )
    return name, value


def _amounts(text: str | None) -> tuple[Decimal | None, Decimal | None]:
    if text is None:
        return None, None
    least, dots, most = text.partition("..")
    try:
        found = [Decimal(each) if each else None for each in (least, most if dots else least)]
    except InvalidOperation:
        found = [None, None]
    known = [each for each in found if each is not None]
    if not known or not all(each.is_finite() for each in known):
        raise ConfigError(f"--amount {text[:40]!r}: write a range, as 100..500, 100.. or ..500")
    return found[0], found[1]


def _time(option: str, text: str | None) -> int | None:
    """Microseconds since 1970 UTC. Without a zone it is UTC, as all times of the record are."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.removesuffix(" ago")):
        then = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        try:
            then = datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(
                f"{option} {text[:40]!r}: write a time as 2026-11-29T23:00 (UTC), or 30m, 2h, 7d"
            ) from None
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return int(then.timestamp() * 1_000_000)
