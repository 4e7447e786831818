"""`wardline trace config`: what the broker ran with, and when that changed."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.approval.text import literal, moment, visible
from permissions.cli.paging import paged
from permissions.cli.trace_source import TraceSource
from permissions.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonObject
    from permissions.trace.reader import RecordedEntry

_ASIDE = frozenset({"before", "by", "refused"})
"""Members that say why an entry was written, and not what is in force."""


def config_entries(
    *,
    at: Annotated[
        int | None,
        typer.Option("--at", metavar="ENTRY", min=0, help="Only what was in force there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="State folder, or a trace folder alone.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Show what the broker ran with: build, policies, engine, tools, environment.

    One block for each time it was written down (at each opening, and when policies were reloaded
    or refused), with what was other than before. Unverified: run `wardline trace verify` first.

    \b
    Examples:
      $ wardline trace config
      $ wardline trace config --at 1207
    """
    index = TraceSource(folder, config).index()
    if at is None:
        found = list(index.all_of("config"))
    else:
        last = index.head("config", "", at + 1)
        found = [] if last is None else [last]
    if not found:
        raise TraceError("the log says nothing of what the broker ran with")
    if as_json:
        for each in found:
            typer.echo(json.dumps({"entry": each.index, "time": each.time, **each.body}))
    else:
        paged(_text(found))


def _text(entries: list[RecordedEntry]) -> Iterator[str]:
    known: JsonObject = {}
    for entry in entries:
        yield f"entry {entry.index}, {moment(entry.time)}"
        if "refused" in entry.body:
            codes = ", ".join(map(str, entry.body["refused"]))
            yield f"  refused      {visible(codes)}"
        if "by" in entry.body:
            yield f"  wanted by    {visible(str(entry.body['by']))}"
        now = {name: value for name, value in entry.body.items() if name not in _ASIDE}
        for name, value in sorted(now.items()):
            before = known.get(name)
            if value != before:
                was = "" if before is None else f"  (was {_said(before)})"
                yield f"  {visible(name):<12} {_said(value)}{was}"
        if known and all(known.get(name) == value for name, value in now.items()):
            yield "  as before"
        known |= now


def _said(value: object) -> str:
    return visible(value) if isinstance(value, str) else literal(value)
