"""`wardline demo`: an agent does a real job, and is attacked while doing it."""

from __future__ import annotations

import sys
from importlib import import_module, resources
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import Annotated

import typer

from permissions.errors import ConfigError

EXIT_INTERRUPTED = 130


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="A job of your own: request.txt, vendors.json, invoices/, mail/.",
        ),
    ] = None,
    *,
    console: Annotated[
        bool,
        typer.Option(
            "--console", help="Against a daemon, with its console open in the browser."
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="Of the console, on this machine.")
    ] = 8181,
    incident: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Instead, record an incident into this new folder, to practise on.",
        ),
    ] = None,
) -> None:
    """Watch an agent do a job while it is attacked.

    Runs in ./wardline-demo on a sample, or on a folder of your own. Exit codes: 0 everything
    came out as it must, 1 something did not, 130 interrupted.

    \b
    Examples:
      $ wardline demo
      $ wardline demo ~/invoices-of-march
      $ wardline demo --console
      $ wardline demo --incident case
    """
    # A package of the checkout, and data in a wheel: it is found by its folder, never imported
    # by anything that is installed.
    sys.path.insert(0, str(resources.files("permissions") / "_demo"))
    if incident is not None:
        typer.echo(import_module("agents_demo.incident").record(incident))
        return
    try:
        program = import_module("agents_demo.__main__")
    except ImportError as err:
        raise ConfigError(
            f"the demo needs LangGraph ({err}); pip install 'wardline[demo]'"
        ) from err
    try:
        raise typer.Exit(program.run(folder, port=port if console else None))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
