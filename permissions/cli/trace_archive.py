"""`wardline trace archive`: moves what is old of the log to another folder."""

from __future__ import annotations

import json
import time
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import Annotated

import typer

from permissions.cli.trace_source import TraceSource
from permissions.signing.keys import PublicKey
from permissions.trace.archive import archive_segments

_DAY_US = 24 * 60 * 60 * 1_000_000


def archive(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the segments go.")],
    *,
    keep: Annotated[
        int, typer.Option(min=1, help="How many segments (of 64 MiB) stay at least.")
    ] = 1,
    older_than: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="DAYS", help="Move only segments whose entries are all older."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="State folder, or a trace folder alone.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Move old segments of the log to an archive.

    The log stays one log: commands read the moved part where it lies, and say so when it is not
    there; what is left verifies without it. Nothing is removed before its copy was verified. A
    broker may be at work meanwhile. Killed half-way, call it again.

    \b
    Examples:
      $ wardline trace archive /mnt/archive/payments --older-than 90
    """
    source = TraceSource(folder, config)
    beside = source.key_beside()
    before = None if older_than is None else time.time_ns() // 1000 - older_than * _DAY_US
    moved = archive_segments(
        source.trace,
        to,
        key=None if beside is None else PublicKey.read(beside),
        keep=keep,
        before=before,
    )
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "moved": list(moved.segments),
                    "bytes": moved.size,
                    "archived_entries": moved.entries,
                }
            )
        )
    elif not moved.segments:
        typer.echo("nothing to archive", err=True)
    else:
        typer.echo(
            f"moved {len(moved.segments)} segments, {moved.size} bytes, to {to}; entries 0 to"
            f" {moved.entries - 1} lie there now"
        )
