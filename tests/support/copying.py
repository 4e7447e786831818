"""Tools that get files of the workspace by copy, and give some back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from wardline import PathArg, tool


@tool(effect="write", impact="low", sandbox="process")
def append_line(path: Annotated[str, PathArg("write")], line: str) -> str:
    """Adds one line to a file."""
    with Path(path).open("a") as file:
        file.write(f"{line}\n")
    return "added"


@tool(effect="write", impact="low", sandbox="process")
def export(
    folder: Annotated[str, PathArg("write")], names: list[str], without: str | None = None
) -> int:
    """Writes files into a folder, and removes one."""
    for name in names:
        Path(folder, name).parent.mkdir(exist_ok=True, parents=True)
        Path(folder, name).write_text("exported")
    if without is not None:
        Path(folder, without).unlink()
    return len(names)


@tool(effect="read", impact="low", sandbox="process")
def search(text: str, folder: Annotated[str, PathArg("read")]) -> list[str]:
    """Files below a folder that hold a text."""
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
    return [str(path) for path in files if text in path.read_text(errors="replace")]


@tool(effect="read", impact="low", sandbox="process", workspace="overlay", output="trusted")
def search_all(text: str) -> list[str]:
    """Files of the workspace that hold a text."""
    files = (path for path in sorted(Path().rglob("*")) if path.is_file())
    return [str(path) for path in files if text in path.read_text(errors="replace")]


TOOLS = (append_line, export, search, search_all)
