"""`wardline trace responder-key` and `open`: contents that the broker itself cannot read back."""

from __future__ import annotations

import getpass
import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import Annotated

import anyio
import typer

from permissions.errors import ConfigError


def responder_key(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the private key is written.")
    ],
) -> None:
    """Make a responder's key, and print its public half for `trace.responders`.

    Keep the private key away from the broker's machine: there lies what it opens.

    \b
    Examples:
      $ wardline trace responder-key ~/responder.pem
    """
    from permissions.signing.responders import make_responder

    typer.echo(str(make_responder(path).public))


def open_(
    call: Annotated[str, typer.Argument(metavar="CALL", help="A call's id.")],
    *,
    key: Annotated[Path, typer.Option("--key", help="The responder's private key.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; sealed in the record.")] = "",
    by: Annotated[str, typer.Option("--by", help="Who; your login name by default.")] = "",
    unrecorded: Annotated[
        bool,
        typer.Option(
            "--unrecorded",
            help="On a copy, without the log's key: the opening is not recorded.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Open what was sealed to responders about a call, and record that.

    The record says who opened what, before anything is shown; no broker may be open meanwhile.
    With the files and the key one can open them elsewhere as well, of which no log knows.

    \b
    Examples:
      $ wardline trace open call-286ffaed --key ~/responder.pem --reason "case 17"
    """
    from permissions.cli.trace_source import TraceSource
    from permissions.setup.access import record_access
    from permissions.setup.config import BrokerConfig
    from permissions.signing.responders import read_responder
    from permissions.trace.vault import VaultReader

    source = TraceSource(folder, config)
    responder = read_responder(key)
    entries = list(source.index().call(call))
    if not entries:
        raise ConfigError(f"no call {call[:80]!r} is recorded")
    if not unrecorded:
        if not reason:
            raise ConfigError("say why, with --reason; it is sealed in the record")
        overrides = {} if folder is None else {"state": folder}
        settings = BrokerConfig.load(config, **overrides)
        who, indexes = by or getpass.getuser(), [each.index for each in entries]
        anyio.run(
            lambda: record_access(
                settings,
                by=who,
                call=call,
                entries=indexes,
                responder=responder.public.keyid,
                reason=reason,
            )
        )
    from permissions.cli.trace_text import entry_text, opened_contents

    vault = VaultReader(source.trace, source.kek(), responder=responder)
    opened = [(each, opened_contents(each, vault)) for each in entries]
    if as_json:
        said = [{"index": e.index, "type": e.type, "contents": c} for e, c in opened]
        typer.echo(json.dumps(said))
        return
    for entry, contents in opened:
        typer.echo(entry_text(entry, contents))
