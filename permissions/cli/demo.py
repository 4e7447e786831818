"""`wardline demo`: an agent does a real job, and is attacked while doing it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the hint
from typing import Annotated

import typer

from permissions.errors import ConfigError

EXIT_INTERRUPTED = 130


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A job of your own; see agents_demo/sample."),
    ] = None,
) -> None:
    """Runs the demonstration in ./wardline-demo, or on a folder of your own.

    Exit codes: 0 everything came out as it must, 1 something did not, 130 interrupted.
    """
    try:
        from agents_demo.__main__ import run
    except ImportError as err:
        raise ConfigError(
            f"the demo needs LangGraph ({err}); pip install 'wardline[demo]'"
        ) from err
    try:
        raise typer.Exit(run(folder))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
