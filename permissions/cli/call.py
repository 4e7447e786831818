"""`wardline call`: a person says what became of a call whose end is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import anyio
import typer

from permissions.approval.approvers import Approvers
from permissions.approval.resolution import Found, sign_resolution
from permissions.approval.text import literal, visible
from permissions.broker.ports import now_us
from permissions.cli.program import noun
from permissions.cli.trace_source import TraceSource
from permissions.database import STATE_FILE, StateDatabase
from permissions.errors import ConfigError
from permissions.execution.journal import SCHEMA, SqliteJournal
from permissions.setup.config import BrokerConfig
from permissions.setup.layout import run_keys
from permissions.signing.key_uris import signer_from_uri

app = noun("Resolve calls in doubt.")

Dir = Annotated[
    Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]


@app.callback()
def _group() -> None:
    pass


@app.command()
def resolve(
    call: Annotated[str, typer.Argument(metavar="ID", help="Id of the call in the record.")],
    *,
    ran: Annotated[
        bool, typer.Option("--ran", help="It happened: never run it again.")
    ] = False,
    did_not_run: Annotated[
        bool, typer.Option("--did-not-run", help="It did not happen: it may run when asked.")
    ] = False,
    run_again: Annotated[
        bool, typer.Option("--run-again", help="Run it when asked, whatever happened before.")
    ] = False,
    note: Annotated[
        str, typer.Option("--note", help="How you know; with --ran the agent hears it.")
    ] = "",
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            envvar="WARDLINE_APPROVER_KEY",
            help="Your key: file:PATH, env:NAME, ssh-agent:NAME.",
        ),
    ] = None,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Say what became of a call whose end nobody recorded, signed with your key.

    A call that began and has no recorded end is not run again by itself: look for its effect
    first, at the bank or in the mailbox. The agent meets your answer when it asks again.

    \b
    Examples:
      $ wardline call resolve call-286ffaed --ran --note "the bank shows it"
      $ wardline call resolve call-286ffaed --did-not-run
    """
    given: dict[Found, bool] = {
        "ran": ran,
        "did-not-run": did_not_run,
        "run-again": run_again,
    }
    chosen = [found for found, is_said in given.items() if is_said]
    if len(chosen) != 1:
        raise ConfigError("say one of --ran, --did-not-run and --run-again")
    if not key:
        raise ConfigError("an answer is signed: give --key file:PATH or WARDLINE_APPROVER_KEY")
    settings = BrokerConfig.load(config, **({"state": folder} if folder else {}))
    record, (journal_key, about) = TraceSource(folder, config).inquiry().doubtful(call)
    signer = signer_from_uri(key)
    approver = Approvers.from_config(settings.approvers).holding(signer.public)
    arguments = literal(record.arguments)
    typer.echo(f"{visible(record.tool or '')} with {arguments}: {chosen[0]}", err=True)
    statement = sign_resolution(
        about, chosen[0], approver=approver.id, note=note, now=now_us(), signer=signer
    )

    async def main() -> None:
        async with StateDatabase(settings.state / STATE_FILE, [SCHEMA]) as database:
            journal = SqliteJournal(database, run_keys(settings), clock=now_us)
            await journal.resolve(journal_key, statement=statement)

    anyio.run(main)
    typer.echo(f"{visible(call)}  {chosen[0]}, says {approver.id}")
