"""Options that several commands of `wardline assure` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Thresholds = Annotated[
    Path, typer.Option("--thresholds", dir_okay=False, help="What has to hold, TOML.")
]
Evidence = Annotated[
    Path, typer.Option("--evidence", file_okay=False, help="Folder of what was measured.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", exists=True, dir_okay=False, help="Settings; wardline.toml by default."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
