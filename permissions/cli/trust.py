"""`wardline trust`: say that a settings file is yours to obey.

Exit codes: 0 done, 1 not trusted before (`--revoke`), 2 no such file, or not to be read.
"""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import Annotated

import typer

from permissions.approval.text import visible
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.settings_file import NAME, settings_file
from permissions.setup.trust import TrustList


def trust(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="The settings file; by default the one that is found here."
        ),
    ] = None,
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust it no more.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List what is trusted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Trust a settings file, so that it is obeyed when it is found.

    A wardline.toml that came with somebody's checkout decides which policies judge your agent.
    So one that is found is obeyed only as you trusted it; each change needs a new yes. Its text
    is shown. The policies it points to are not part of it: look at them too.

    \b
    Examples:
      $ wardline trust
      $ wardline trust ~/agent/wardline.toml
      $ wardline trust --list
    """
    known = TrustList()
    if listed:
        entries = known.entries()
        if as_json:
            typer.echo(json.dumps({"list": str(known.file), "trusted": entries}))
            return
        for path in entries:
            typer.echo(visible(path))
        return
    if revoke:
        _revoke(known, file, as_json=as_json)
        return
    source = settings_file(file)
    if source is None:
        raise ConfigError(f"there is no {NAME} here or above; name one, or run `wardline init`")
    BrokerConfig.load(source.path)  # what cannot be used cannot be trusted
    if not as_json:
        for line in source.content.decode("utf-8-sig").splitlines():
            typer.echo(f"| {visible(line)}")
    known.add(source.path, source.content)
    typer.echo(
        json.dumps({"path": str(source.path), "trusted": True})
        if as_json
        else f"trusted {visible(str(source.path))}"
    )


def _revoke(known: TrustList, file: Path | None, *, as_json: bool) -> None:
    """Also for a file that is gone: its path may come back with other content."""
    if file is None:
        found = settings_file()
        if found is None:
            raise ConfigError(f"there is no {NAME} here or above; name the file")
        file = found.path
    removed = known.remove(file)
    if as_json:
        typer.echo(json.dumps({"path": str(file.resolve()), "trusted": False}))
    else:
        said = "trusted no more" if removed else "was not trusted"
        typer.echo(f"{visible(str(file))} {said}")
    if not removed:
        raise typer.Exit(1)
