"""`wardline policy library`: the packages a team starts from, shown and switched on."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated

import typer

from permissions import files
from permissions.cli.policy.folder import AsJson, print_json, shown
from permissions.cli.program import noun
from permissions.errors import ConfigError
from permissions.pdp.library import (
    NAMES_FILE,
    library_names,
    library_package,
    names_in,
)

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.pdp.library import LibraryPackage

app = noun("List, show and switch on packages of the library.")


@app.command("list")
def list_packages(*, as_json: AsJson = False) -> None:
    """List the packages: what each denies, asks a person about, and needs.

    \b
    Examples:
      $ wardline policy library list
    """
    packages = [library_package(name) for name in library_names()]
    if as_json:
        print_json({"packages": [_document(each) for each in packages]})
        return
    for each in packages:
        typer.echo(shown(f"{each.name:<14} denies  {each.denies}"))
        typer.echo(shown(f"{'':<14} asks    {each.asks}"))
        typer.echo(shown(f"{'':<14} needs   {each.needs}"))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of the package.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one package: its rules and its table, as they are shipped.

    \b
    Examples:
      $ wardline policy library show git
    """
    found = _package(name)
    rego, table = found.layer.read_text("utf-8"), found.table.read_text("utf-8")
    if as_json:
        print_json({**_document(found), "rego": rego, "table": json.loads(table)})
        return
    typer.echo(f"# layers/{name}/{name}.rego\n{rego}\n# data/{name}.json\n{table}", nl=False)


@app.command()
def add(
    name: Annotated[list[str], typer.Argument(help="Names of packages.")],
    *,
    to: Annotated[
        Path,
        typer.Option(file_okay=False, metavar="DIR", help="Your overlay; made if need be."),
    ],
    as_json: AsJson = False,
) -> None:
    """Switch packages on: names them in an overlay, and puts their tables there for you to edit.

    A table that the overlay has already stays as it is. `pdp.overlay` of the settings names the
    overlay; until then nothing changes.

    \b
    Examples:
      $ wardline policy library add git commands --to mine
      $ wardline policy check --overlay mine
    """
    packages = [_package(each) for each in name]
    listed = to / NAMES_FILE
    try:
        before = names_in(listed.read_text("utf-8")) if listed.exists() else []
    except (ValueError, RecursionError) as err:
        raise ConfigError(f"{listed}: {err}") from err
    (to / "data").mkdir(parents=True, exist_ok=True)
    written = []
    for each in packages:
        table = to / "data" / f"{each.name}.json"
        if not table.exists():
            files.replace(table.absolute(), each.table.read_bytes(), mode=0o644)
            written.append(str(table))
    named = list(dict.fromkeys([*before, *name]))
    files.replace(listed.absolute(), (json.dumps(named) + "\n").encode(), mode=0o644)
    if as_json:
        print_json({"packages": [*named], "tables": [*written], "overlay": str(to)})
        return
    typer.echo(shown(f"{listed}: {', '.join(named)}"))
    for path in written:
        typer.echo(shown(f"{path}: the shipped table, yours to edit"))


def _package(name: str) -> LibraryPackage:
    try:
        return library_package(name)
    except KeyError as err:
        raise ConfigError(
            f"the library has no {name[:80]!r}: it is one of {', '.join(library_names())}"
        ) from err


def _document(package: LibraryPackage) -> JsonObject:
    return {
        "name": package.name,
        "title": package.title,
        "denies": package.denies,
        "asks": package.asks,
        "needs": package.needs,
    }
