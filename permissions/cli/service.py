"""`wardline service token`: tokens by which clients of the network are known to the daemon.

It works on the daemon's state, which asks there at each connection: nothing is restarted.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
import typer

from permissions.broker.ports import now_us
from permissions.cli.program import noun
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.control import NobodyThereError, ask
from permissions.setup.daemon import tokens_of
from permissions.setup.layout import StateLayout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from permissions.service.tokens import Token, TokenStore

T = TypeVar("T")

_DAY = 86_400 * 1_000_000

app = noun("Who may use the daemon over the network.")
token = noun("Create, list and revoke tokens of clients.")
app.add_typer(token, name="token")

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@token.command()
def create(
    client: Annotated[
        str, typer.Argument(metavar="CLIENT", help="Name under [service.clients].")
    ],
    *,
    days: Annotated[
        int, typer.Option(min=1, max=3660, help="For how many days it is good.")
    ] = 90,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Create a token for a client, and print it: this once, for only its hash is kept.

    \b
    Examples:
      $ wardline service token create desk > desk.token
      $ WARDLINE_CONNECTION__TOKEN=$(cat desk.token) python my_agent.py
    """
    settings = BrokerConfig.load(config)
    if client not in settings.service.clients:
        known = ", ".join(sorted(settings.service.clients)) or "none"
        raise ConfigError(
            f"{client[:80]!r} is no client of the settings ({known}); describe it under"
            f" [service.clients.NAME] first"
        )
    now = now_us()
    made, text = _on_tokens(
        lambda store: store.create(client, now=now, expires=now + days * _DAY), settings
    )
    if as_json:
        typer.echo(json.dumps({**asdict(made), "token": text}))
    else:
        typer.echo(text)
        typer.echo(f"{made.id} for {client}, until {_when(made.expires)}", err=True)


@token.command("list")
def list_(*, as_json: Json = False, config: Config = None) -> None:
    """List tokens: for whom, until when, and whether one was revoked; never the tokens.

    \b
    Examples:
      $ wardline service token list
    """
    found = _on_tokens(lambda store: store.listed(), BrokerConfig.load(config))
    now = now_us()
    for each in found:
        if as_json:
            typer.echo(json.dumps({**asdict(each), "state": _state(each, now)}))
        else:
            typer.echo(f"{each.id}  {each.client}  {_state(each, now)}")
    if not found and not as_json:
        typer.echo("no token was created", err=True)


@token.command()
def revoke(
    name: Annotated[
        str, typer.Argument(metavar="TOKEN|CLIENT", help="Id of a token, or a client's name.")
    ],
    *,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Revoke a token, or all of a client; it opens nothing any more.

    Sessions that are open end with their next call: a daemon that runs is told.

    \b
    Examples:
      $ wardline service token revoke tok-9f2c11d0
    """
    settings = BrokerConfig.load(config)
    count = _on_tokens(lambda store: store.revoke(name, now=now_us()), settings)
    with suppress(NobodyThereError):
        ask(settings.state, "revoked")
    if as_json:
        typer.echo(json.dumps({"name": name, "revoked": count}))
    else:
        typer.echo(f"revoked {count} token{'' if count == 1 else 's'}")


def _state(each: Token, now: int) -> str:
    if each.revoked is not None:
        return f"revoked {_when(each.revoked)}"
    return f"{'expired' if each.expires <= now else 'until'} {_when(each.expires)}"


def _when(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _on_tokens(work: Callable[[TokenStore], Awaitable[T]], config: BrokerConfig) -> T:
    StateLayout(config.state).make(config.workspace)

    async def run() -> T:
        async with tokens_of(config) as store:
            return await work(store)

    return anyio.run(run)
