"""`wardline trace export`: a verified log in the forms other programs and people read."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import IO, TYPE_CHECKING, Annotated

import orjson
import typer

from permissions.cli.trace_source import TraceSource
from permissions.cli.trace_verified import verified
from permissions.errors import ConfigError
from permissions.export.opened import Entries
from permissions.files import written_whole
from permissions.signing.key_uris import signer_from_uri
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.cli.trace_verified import Verified
    from permissions.model import JsonObject
    from permissions.signing.keys import Signer
    from permissions.trace.vault import VaultReader

EXIT_INTEGRITY = 5
_TOLD_SECONDS = 1.0


def export(
    *,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="The explorer: one page that needs nothing but a browser."),
    ] = None,
    spans: Annotated[
        Path | None,
        typer.Option("--spans", help="OpenTelemetry spans of calls: OTLP/JSON, one a line."),
    ] = None,
    ocsf: Annotated[
        Path | None,
        typer.Option("--ocsf", help="OCSF events (API Activity) of calls, one a line."),
    ] = None,
    statements: Annotated[
        Path | None,
        typer.Option(
            "--statements",
            help="In-toto statements of calls in DSSE envelopes, one a line; needs --sign.",
        ),
    ] = None,
    sign: Annotated[
        str,
        typer.Option("--sign", help="Key that signs the statements: file:PATH or env:NAME."),
    ] = "",
    parquet: Annotated[
        Path | None,
        typer.Option(
            "--parquet", help="Folder of Parquet tables, with views for DuckDB in views.sql."
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", help="Only this run and the log's own entries; may be repeated."),
    ] = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Put opened contents in: arguments, results, what people saw. Whoever gets the"
            " file can read them.",
        ),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="Public key, or C2SP verifier key, to verify with; kept elsewhere."
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="A signed checkpoint kept outside; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Write a verified log in other forms.

    The log is verified first, and what is written says what came out. A log that fails is written
    as far as it can be read, and the exit code is 5.

    \b
    Examples:
      $ wardline trace export --html trace.html
      $ wardline trace export --html run.html --run run-1f9be06c --open
      $ wardline trace export --parquet tables --spans spans.jsonl
    """
    asked = {
        "html": html,
        "spans": spans,
        "ocsf": ocsf,
        "statements": statements,
        "parquet": parquet,
    }
    targets = {form: target for form, target in asked.items() if target is not None}
    if not targets:
        raise ConfigError("nothing to write: give --html FILE, or another form")
    if (statements is None) != (not sign):
        raise ConfigError("--statements and --sign go together: a statement is signed")
    source = TraceSource(folder, config)
    vault = vault_for(source, opened=open_)
    signer = signer_from_uri(sign) if sign else None
    judged = verified(source, key=key, checkpoints=checkpoint or ())
    for form, target in targets.items():
        entries = Entries(read_entries(source.trace), vault, runs=run or ())
        count = _write(form, target, entries, judged, signer)
        _tell(count, target, judged, as_json=as_json)
    if not judged.report.is_intact:
        raise typer.Exit(EXIT_INTEGRITY)


def _write(
    form: str, target: Path, entries: Entries, judged: Verified, signer: Signer | None
) -> int:
    """Writes one form; gives how many entries, or calls, are in it."""
    if form == "html":
        return write_html(target, entries, judged)
    if form == "parquet":
        from permissions.export.tables import write_tables

        told = progress(judged.report.integrity.size)
        try:
            count = write_tables(
                target, entries, integrity=judged.report.verdict_of, progress=told
            )
        except OSError as err:
            raise ConfigError(f"{target} cannot be written: {err.strerror}") from err
        entries.require_runs()
        return count
    count = 0
    with writing(target) as file:
        for line in _lines(form, entries, judged, signer):
            file.write(line + b"\n")
            count += 1
        entries.require_runs()
    return count


def _lines(
    form: str, entries: Entries, judged: Verified, signer: Signer | None
) -> Iterator[bytes]:
    from permissions.export import ocsf, spans, statements
    from permissions.export.calls import ended_calls

    found = judged.report.integrity
    origin, build = str(found.origin), version("wardline")
    calls = ended_calls(entries)
    if form == "statements" and signer is not None:
        for each in statements.statements(
            calls, origin=origin, integrity=found.verdict, signer=signer
        ):
            yield each.dumps()
        return
    made = spans.spans if form == "spans" else ocsf.events
    for event in made(calls, origin=origin, integrity=found.verdict, build=build):
        yield orjson.dumps(event)


def vault_for(source: TraceSource, *, opened: bool) -> VaultReader | None:
    """What opens contents, if they are to be opened.

    Raises:
        ConfigError: they are, and the key is not here.
    """
    vault = source.vault() if opened else None
    if opened and vault is None:
        raise ConfigError("the vault's key is not here; contents cannot be opened")
    return vault


def write_html(target: Path, entries: Entries, judged: Verified) -> int:
    """Writes the explorer; gives how many entries are in it."""
    from permissions.export.page import write_page

    with writing(target) as file:
        count = write_page(
            file,
            entries,
            judged.report,
            about=about(judged, entries),
            progress=progress(judged.report.integrity.size),
        )
        entries.require_runs()
    return count


@contextmanager
def writing(target: Path) -> Iterator[IO[bytes]]:
    """A file that is there whole or not at all.

    Raises:
        ConfigError: it cannot be written there.
    """
    try:
        with written_whole(target) as file:
            yield file
    except OSError as err:
        raise ConfigError(f"{target} cannot be written: {err.strerror}") from err


def about(judged: Verified, entries: Entries) -> JsonObject:
    """What a file says of how it came to be."""
    return {
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "build": f"wardline {version('wardline')}",
        "key_source": judged.pin.source,
        "opened": entries.are_opened,
        "runs": sorted(entries.runs),
    }


def progress(total: int) -> Callable[[int], None]:
    """Says on a terminal, about once a second, how far it went."""
    told = time.monotonic()

    def tell(count: int) -> None:
        nonlocal told
        if sys.stderr.isatty() and time.monotonic() - told > _TOLD_SECONDS:
            told = time.monotonic()
            typer.echo(f"{count} of {total} entries", err=True)

    return tell


def _tell(count: int, target: Path, judged: Verified, *, as_json: bool) -> None:
    verdict = judged.report.integrity.verdict
    if as_json:
        typer.echo(json.dumps({"file": str(target), "count": count, "integrity": verdict}))
    else:
        typer.echo(f"{target}: {count} written, integrity {verdict}")
