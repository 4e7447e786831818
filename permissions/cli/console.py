"""`wardline console`: lets people in to the console of a daemon, and out of it.

It works on the state that the daemon uses, so it is for whoever may write that: the operator, on
the broker's machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
import typer

from permissions.approval.approvers import Approvers
from permissions.cli.program import noun
from permissions.console.roles import Role  # noqa: TC001 - typer reads the hints
from permissions.console.sign_ins import LINK_SECONDS
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.console import sign_ins_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from permissions.console.sign_ins import SignIns

T = TypeVar("T")

app = noun("Let people in to the console, and out of it.")

Dir = Annotated[
    Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Name = Annotated[str, typer.Option("--for", metavar="NAME", help="Who it is for.")]


@app.command()
def link(
    *,
    name: Name,
    role: Annotated[Role, typer.Option(help="As what they sign in.")],
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Make a link that signs somebody in once, within 15 minutes.

    Hand it over so that nobody else reads it: whoever opens it first is signed in. To answer, an
    approver needs a passkey, which `wardline approver invite` lets them add.

    \b
    Examples:
      $ wardline console link --role responder --for rita
      $ wardline console link --role responder --for rita --json
    """
    url = link_for(console_settings(folder, config), name, role)
    if as_json:
        said = {"url": url, "name": name, "role": role, "expires_in_seconds": LINK_SECONDS}
        typer.echo(json.dumps(said))
    else:
        typer.echo(url)
        typer.echo(
            f"for {name}, as {role}: once, within {LINK_SECONDS // 60} minutes", err=True
        )


@app.command("sign-out")
def sign_out(
    *, name: Name, as_json: Json = False, folder: Dir = None, config: Config = None
) -> None:
    """End every session and link of a person.

    \b
    Examples:
      $ wardline console sign-out --for olga
    """
    ended = signed_out(console_settings(folder, config), name)
    if as_json:
        typer.echo(json.dumps({"name": name, "ended": ended}))
    else:
        typer.echo(f"{ended} ended: sessions and links of {name}")


def link_for(settings: BrokerConfig, name: str, role: Role, *, enrols: bool = False) -> str:
    """A link that signs somebody in once; with `enrols` they may add a passkey then.

    Raises:
        ConfigError: there is no console.
        ApproverRefusedError: an approver of that name is not in the settings.
        StateError: it cannot be kept.
    """
    if not settings.service.url:
        raise ConfigError(
            "service.url is not set, so there is no console; set it to where browsers reach the"
            ' daemon, as in [service] url = "http://localhost:8181"'
        )
    if role == "approver":
        Approvers.from_config(settings.approvers).get(name)
    secret = _on_state(lambda found: found.link(name, role, enrols=enrols), settings)
    return f"{settings.service.url.rstrip('/')}/sign-in?link={secret}"


def signed_out(settings: BrokerConfig, name: str) -> int:
    """Ends every session and link of a person; how many.

    Raises:
        StateError: the state cannot be opened.
    """
    return _on_state(lambda found: found.end_all(name), settings)


def console_settings(folder: Path | None, config: Path | None) -> BrokerConfig:
    """The settings of the daemon whose state folder this is.

    Raises:
        ConfigError: they cannot be used, or there is no state.
    """
    settings = BrokerConfig.load(config, **({} if folder is None else {"state": folder}))
    if not settings.state.is_dir():
        raise ConfigError(f"there is no state folder {settings.state}; start the daemon first")
    return settings


def _on_state(work: Callable[[SignIns], Awaitable[T]], settings: BrokerConfig) -> T:
    async def main() -> T:
        async with sign_ins_of(settings) as found:
            return await work(found)

    return anyio.run(main)
