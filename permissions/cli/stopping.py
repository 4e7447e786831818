"""What `wardline stop` and `resume` have in common: whose calls are meant, how a stop reads."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.stops.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.stops.scope import ScopeKind
    from permissions.stops.statement import Stop


def _shared(
    run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="A run, and all it sent.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="An agent, and all it sent.")
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", metavar="NAME", help="A tool.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="State folder; the configured one by default.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> Asked:
    """The options that both commands have."""
    return Asked(
        names={"run": run, "agent": agent, "tool": tool},
        everything=everything,
        reason=reason,
        as_json=as_json,
        settings=BrokerConfig.load(config, **({} if folder is None else {"state": folder})),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say.

    Attributes:
        names: by kind of scope, whose calls are meant.
        settings: for the state folder that was named.
    """

    names: dict[ScopeKind, str | None]
    everything: bool
    reason: str
    as_json: bool
    settings: BrokerConfig

    def scope(self) -> Scope:
        """The one scope that the options name, with a reason.

        Raises:
            ConfigError: none or more than one, or no reason.
        """
        named = [Scope(kind, name) for kind, name in self.names.items() if name is not None]
        if self.everything:
            named.append(Scope("all"))
        if len(named) != 1:
            raise ConfigError("say one of --run ID, --agent NAME, --tool NAME, --all")
        if not self.reason.strip():
            raise ConfigError('say why, for the record: --reason "..."')
        return named[0]


def with_scope(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of both, before its own; what they say is its first argument."""
    shared = inspect.signature(_shared, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(_shared(**{name: given.pop(name) for name in shared}), **given)

    options = [*shared.values(), *own]
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in options}
    return run


def line_of(stop: Stop) -> str:
    """A stop on one line."""
    when = datetime.fromtimestamp(stop.time / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    unsigned = "" if stop.is_signed else "  (not signed by the log's key)"
    return f"{stop.id}  {stop.scope}  by {stop.by}  {when}  {stop.reason}{unsigned}"
