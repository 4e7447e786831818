"""`wardline assure init` and `schema`: a register to start from, and the form of the files."""

from __future__ import annotations

import json
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from permissions.assurance.register import DEFAULT_REGISTER, Register
from permissions.assurance.terms import DEFAULT_TERMS, Terms
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

_DAYS = 90
"""After which a starter's risks are looked at again."""


def init(
    *,
    owner: Annotated[
        str, typer.Option("--owner", help="Who answers for the risks to begin with.")
    ] = "",
    tools: Annotated[
        str | None, typer.Option("--tools", metavar="MODULE", help="Module of your tools.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--dir", file_okay=False, help="Folder to write into.")
    ] = Path(),
) -> None:
    """Write a risk register and thresholds to start from.

    They fit the shipped policies. Read each risk, say whose it is, and delete none without a
    word: what does not apply to you is `closed`. Nothing that exists is overwritten.

    \b
    Examples:
      $ wardline assure init --owner olga --tools my_agent.tools
    """
    from permissions import files
    from permissions.assurance.exemption import day_of
    from permissions.broker.ports import now_us

    due = day_of(now_us()) + timedelta(days=_DAYS)
    values = {
        "@owner@": json.dumps(owner),
        "@due@": due.isoformat(),
        "@tools@": f"tools = {json.dumps(tools)}" if tools else '# tools = "my_agent.tools"',
    }
    starters = resources.files("permissions.assurance").joinpath("starter")
    files.make_folder(folder, mode=0o755)
    for name in (DEFAULT_REGISTER, DEFAULT_TERMS):
        text = starters.joinpath(name).read_text("utf-8")
        for mark, value in values.items():
            text = text.replace(mark, value)
        try:
            files.create(folder / name, text.encode(), mode=0o644)
        except FileExistsError:
            typer.echo(f"{folder / name} is there already, and stays as it is")
        except OSError as err:
            raise ConfigError(f"{folder / name} cannot be written: {err.strerror}") from err
        else:
            typer.echo(f"wrote {folder / name}")
    typer.echo("next: wardline assure gate")


def schema(
    file: Annotated[
        Literal["register", "thresholds"], typer.Argument(help="Of which file.")
    ] = "register",
) -> None:
    """Print the JSON Schema of the risk register, or of the thresholds.

    \b
    Examples:
      $ wardline assure schema register
    """
    form: type[BaseModel] = Register if file == "register" else Terms
    typer.echo(json.dumps(form.model_json_schema(), indent=2))
