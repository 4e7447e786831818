"""`wardline delegation`: which sub-agents were sent, and stopping them.

It works on the state that another process' broker uses; a sub-agent asks there before each call.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
import typer

from permissions.broker.ports import now_us
from permissions.cli.program import noun
from permissions.database import STATE_FILE, StateDatabase
from permissions.errors import ConfigError
from permissions.run.delegation_store import SCHEMA, SqliteDelegationStore
from permissions.setup.config import BrokerConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from permissions.run.delegation_store import Delegated

T = TypeVar("T")

app = noun("List sub-agents, and stop them.")

Dir = Annotated[
    Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command("list")
def list_(*, as_json: Json = False, folder: Dir = None, config: Config = None) -> None:
    """List the runs of sub-agents: who sent them, with which tools, until when.

    \b
    Examples:
      $ wardline delegation list
      $ wardline delegation list --json
    """
    found = _on_state(lambda store: store.listed(), folder, config)
    now = now_us()
    for each in found:
        if as_json:
            typer.echo(json.dumps({**asdict(each), "state": _state(each, now)}))
        else:
            tools = ", ".join(each.tools)
            typer.echo(
                f"{each.run}  {each.agent}  sent by {each.parent}  {_state(each, now)}"
                f"  may use {tools or 'nothing itself'}"
            )
    if not found and not as_json:
        typer.echo("no sub-agent was sent", err=True)


@app.command()
def revoke(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run of a sub-agent, or one that sent some.")
    ],
    *,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Stop a sub-agent and all it sent; of any other run, all it sent.

    None of their calls starts any more. A call that has started goes on, and nothing takes a
    revocation back.

    \b
    Examples:
      $ wardline delegation revoke run-3f9c
    """
    stopped = _on_state(lambda store: store.revoke(run, now=now_us()), folder, config)
    if as_json:
        typer.echo(json.dumps({"run": run, "stopped": stopped}))
    else:
        typer.echo(f"stopped {stopped} run{'' if stopped == 1 else 's'}")


def _state(each: Delegated, now: int) -> str:
    if each.revoked is not None:
        return f"revoked {_when(each.revoked)}"
    if each.expires is None:
        return "no end"
    return f"{'expired' if each.expires <= now else 'until'} {_when(each.expires)}"


def _when(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _on_state(
    work: Callable[[SqliteDelegationStore], Awaitable[T]],
    folder: Path | None,
    config: Path | None,
) -> T:
    state = folder or BrokerConfig.load(config).state
    path = state / STATE_FILE
    if not path.is_file():
        raise ConfigError(f"{state} holds no state; is it the folder of a broker that ran?")

    async def run() -> T:
        async with StateDatabase(path, [SCHEMA]) as database:
            return await work(SqliteDelegationStore(database))

    return anyio.run(run)
