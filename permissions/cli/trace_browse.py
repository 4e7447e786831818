"""`wardline trace browse`: opens a log in the terminal."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import Annotated

import typer

from permissions.cli.trace_source import TraceSource
from permissions.cli.trace_verified import verified
from permissions.errors import ConfigError
from permissions.trace.reader import log_origin


def browse(
    *,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Browse a log in the terminal.

    The calls, newest first, and beside them what is recorded of the one at the cursor: rules with
    the values they compared, where each argument came from, who approved what they saw, diffs.
    `/` searches, `p` goes to where an argument came from, `b` to what its values reached. Needs
    `pip install 'wardline[tui]'`.

    \b
    Examples:
      $ wardline trace browse
    """
    try:
        from permissions.cli.browser import TraceBrowser
    except ModuleNotFoundError as err:
        raise ConfigError("`trace browse` needs pip install 'wardline[tui]'") from err

    source = TraceSource(folder, config)

    name = log_origin(source.trace) or "(no name)"
    TraceBrowser(
        source.inquiry(), name=name, verify=lambda: verified(source, key=None).report
    ).run()
