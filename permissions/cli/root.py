"""Joins the commands of every noun into one program."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from permissions.cli import (
    demo,
    doctor,
    init,
    plan,
    policy,
    request,
    sandbox,
    trace,
)

app = typer.Typer(
    name="wardline",
    help="The permission broker between AI agents and their tools.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with a value
    if wanted:
        typer.echo(f"wardline {version('wardline')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.add_typer(policy.app, name="policy")
app.add_typer(plan.app, name="plan")
app.add_typer(request.app, name="request")
app.add_typer(trace.app, name="trace")
app.add_typer(sandbox.app, name="sandbox")
