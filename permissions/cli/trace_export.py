"""`wardline trace export`: a verified log in the forms other programs and people read."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import IO, TYPE_CHECKING, Annotated

import typer

from permissions.cli.trace_source import TraceSource
from permissions.cli.trace_verified import verified
from permissions.errors import ConfigError
from permissions.export.opened import Entries
from permissions.files import written_whole
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from permissions.cli.trace_verified import Verified
    from permissions.model import JsonObject
    from permissions.trace.vault import VaultReader

EXIT_INTEGRITY = 5
_TOLD_SECONDS = 1.0


def export(
    *,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="The explorer: one page that needs nothing but a browser."),
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
    """
    if html is None:
        raise ConfigError("nothing to write: give --html FILE")
    source = TraceSource(folder, config)
    vault = vault_for(source, opened=open_)
    judged = verified(source, key=key, checkpoints=checkpoint or ())
    said = {"entries": write_html(html, source, judged, vault, runs=run or ())}
    _tell(said, html, judged, as_json=as_json)
    if not judged.report.is_intact:
        raise typer.Exit(EXIT_INTEGRITY)


def vault_for(source: TraceSource, *, opened: bool) -> VaultReader | None:
    """What opens contents, if they are to be opened.

    Raises:
        ConfigError: they are, and the key is not here.
    """
    vault = source.vault() if opened else None
    if opened and vault is None:
        raise ConfigError("the vault's key is not here; contents cannot be opened")
    return vault


def write_html(
    target: Path,
    source: TraceSource,
    judged: Verified,
    vault: VaultReader | None,
    *,
    runs: Sequence[str],
) -> int:
    """Writes the explorer; gives how many entries are in it."""
    from permissions.export.page import write_page

    entries = Entries(read_entries(source.trace), vault, runs=runs)
    with writing(target) as file:
        count = write_page(
            file,
            entries,
            judged.report,
            about=about(judged, opened=vault is not None, runs=runs),
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


def about(judged: Verified, *, opened: bool, runs: Sequence[str]) -> JsonObject:
    """What a file says of how it came to be."""
    from importlib.metadata import version

    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "made": made,
        "build": f"wardline {version('wardline')}",
        "key_source": judged.pin.source,
        "opened": opened,
        "runs": list(runs),
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


def _tell(said: JsonObject, target: Path, judged: Verified, *, as_json: bool) -> None:
    verdict = judged.report.integrity.verdict
    if as_json:
        typer.echo(json.dumps({**said, "file": str(target), "integrity": verdict}))
    else:
        typer.echo(f"{target}: {said['entries']} entries, integrity {verdict}")
