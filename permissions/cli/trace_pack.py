"""`wardline trace pack`: an evidence packet."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli.trace_export import about, vault_for
from permissions.cli.trace_source import TraceSource
from permissions.cli.trace_verified import verified
from permissions.errors import ConfigError, TraceIntegrityError
from permissions.export.opened import Entries
from permissions.signing.key_uris import signer_from_uri
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.cli.trace_verified import Verified
    from permissions.export.packet import Attached
    from permissions.signing.keys import Signer


def pack(
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The packet; must not be there.")
    ],
    *,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", help="Only this run, each record with its proof; may be repeated."
        ),
    ] = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Disclose contents, each with its own key. Whoever gets the packet can read"
            " them; other contents stay sealed.",
        ),
    ] = False,
    sign: Annotated[
        str, typer.Option("--sign", help="Key that signs the checksums: file:PATH or env:NAME.")
    ] = "",
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
    """Write an evidence packet: records, proofs, policies, openings, explorer, card.

    The packet verifies without this program, by the steps in its README.md. The log is verified
    first; of one that fails no packet is made (exit code 5).

    \b
    Examples:
      $ wardline trace pack case-7 --run run-1f9be06c --open
      $ cat case-7/README.md
    """
    source = TraceSource(folder, config)
    signer = signer_from_uri(sign) if sign else None
    judged = intact(source, key=key, checkpoints=checkpoint or ())
    count = write_packet(out, source, judged, signer=signer, runs=run or (), is_open=open_)
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "records": count}))
    else:
        typer.echo(f"{out}: {count} records; {out / 'README.md'} says how to verify it")


def intact(
    source: TraceSource, *, key: Path | None = None, checkpoints: Sequence[Path] = ()
) -> Verified:
    """A log that verified.

    Raises:
        TraceIntegrityError: it does not.
    """
    judged = verified(source, key=key, checkpoints=checkpoints)
    if not judged.report.is_intact:
        raise TraceIntegrityError(
            f"the log does not verify, so no packet is made: {judged.report.integrity.reason}"
        )
    return judged


def write_packet(
    out: Path,
    source: TraceSource,
    judged: Verified,
    *,
    signer: Signer | None,
    runs: Sequence[str] = (),
    is_open: bool = False,
    attached: Attached | None = None,
) -> int:
    """Writes a packet, whole or not at all; gives the number of its records.

    Raises:
        ConfigError: the folder is there already or cannot be written, or the vault's key, with
            which contents are to be opened, is not here.
        TraceError: the log cannot be read as it was verified.
    """
    from permissions.export.packet import Packet

    if out.exists() or not out.name:
        raise ConfigError(f"{out} is there already; name a new folder")
    vault = vault_for(source, opened=is_open)

    def entries() -> Entries:
        return Entries(read_entries(source.trace), vault, runs=runs)

    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            leaves = [entry.leaf for entry in read_entries(source.trace)]
            count = Packet(draft, judged.report).write(
                entries,
                leaves,
                vault=vault,
                about=about(judged, entries()),
                signer=signer,
                bundles=source.bundles,
                attached=attached,
            )
            draft.rename(out)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as err:
        raise ConfigError(f"{out} cannot be written: {err.strerror}") from err
    return count
