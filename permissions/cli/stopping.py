"""What `wardline stop` and `resume` have in common: whose calls are meant, how a stop reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.stops.scope import Scope

if TYPE_CHECKING:
    from permissions.stops.scope import ScopeKind
    from permissions.stops.statement import Stop

Run = Annotated[str | None, typer.Option("--run", metavar="ID", help="A run, and all it sent.")]
Agent = Annotated[
    str | None, typer.Option("--agent", metavar="NAME", help="An agent, and all it sent.")
]
Tool = Annotated[str | None, typer.Option("--tool", metavar="NAME", help="A tool.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything.")]
Because = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Dir = Annotated[
    Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]


def scope_of(
    run: str | None, agent: str | None, tool: str | None, *, everything: bool
) -> Scope:
    """The one scope that the options name.

    Raises:
        ConfigError: none, or more than one.
    """
    names: dict[ScopeKind, str | None] = {"run": run, "agent": agent, "tool": tool}
    named = [Scope(kind, name) for kind, name in names.items() if name is not None]
    if everything:
        named.append(Scope("all"))
    if len(named) != 1:
        raise ConfigError("say one of --run ID, --agent NAME, --tool NAME, --all")
    return named[0]


def settings(folder: Path | None, config: Path | None) -> BrokerConfig:
    """The settings, for the state folder that was named."""
    return BrokerConfig.load(config, **({} if folder is None else {"state": folder}))


def line_of(stop: Stop) -> str:
    """A stop on one line."""
    when = datetime.fromtimestamp(stop.time / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    unsigned = "" if stop.is_signed else "  (not signed by the log's key)"
    return f"{stop.id}  {stop.scope}  by {stop.by}  {when}  {stop.reason}{unsigned}"
