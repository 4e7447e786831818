"""The tool of `mortal`, behind a boundary: a module of its own, which a sandbox imports."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from wardline import FreeText, PathArg, tool


@tool(effect="irreversible", impact="high", output="trusted", sandbox="process")
def append_line(
    path: Annotated[str, PathArg("write")], line: Annotated[str, FreeText()]
) -> str:
    """Appends a line to a copy of a file, which is put back when the job has ended."""
    with Path(path).open("a") as file:
        file.write(line + "\n")
    time.sleep(1)
    return "written"
