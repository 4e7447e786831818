"""`wardline reload`: a running broker reads again who may approve and connect, and its policies."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from permissions.errors import StateError
from permissions.setup.config import BrokerConfig
from permissions.setup.control import NobodyThereError, ask


def reload(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="State folder of the broker.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Reload the approvers, clients and policies of a running broker.

    It reads its settings file again for `[approvers]` and `[service.clients]`, then its policies.
    Who is not listed any more approves nothing and has open sessions ended at their next call.
    The other settings are read at the start only. Its record says who asked, and who is in force.

    \b
    Examples:
      $ wardline reload
      $ wardline reload --json
    """
    overrides = {} if folder is None else {"state": folder}
    state = BrokerConfig.load(config, **overrides).state
    try:
        people = ask(state, "people")
    except NobodyThereError as err:
        raise StateError(f"{err}; it reads them when it starts") from err
    policies = ask(state, "reload")
    if as_json:
        said = {**people, **policies, "changed": policies["before"] != policies["now"]}
        typer.echo(json.dumps(said))
        return
    typer.echo(f"approvers {', '.join(people['approvers']) or 'nobody'}")
    typer.echo(f"clients   {', '.join(people['clients']) or 'its own account'}")
    typer.echo(f"policy    {policies['now']}")
