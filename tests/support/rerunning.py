"""Tools whose calls are run again: some do the same each time, some do not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from wardline import FreeText, PathArg, tool


@tool(effect="write", impact="low", sandbox="process")
def append_line(
    path: Annotated[str, PathArg("write")], line: Annotated[str, FreeText()]
) -> int:
    """Adds one line to a file."""
    with Path(path).open("a") as file:
        file.write(f"{line}\n")
    print("added")  # noqa: T201 - a stream to compare
    return len(Path(path).read_text().splitlines())


@tool(effect="read", impact="low", sandbox="process")
def report(path: Annotated[str, PathArg("read")]) -> dict[str, object]:
    """Counts the words of a file, with the time."""
    return {"words": len(Path(path).read_text().split()), "at": time.time_ns()}


@tool(effect="read", impact="low", sandbox="process")
def first_number(path: Annotated[str, PathArg("read")]) -> int:
    """The number on the first line."""
    return int(Path(path).read_text().splitlines()[0])


@tool(effect="write", impact="low", sandbox="process", workspace="overlay")
def rename_all(suffix: Annotated[str, FreeText()]) -> list[str]:
    """Gives each text file of the workspace another ending."""
    found = sorted(Path().rglob("*.txt"))
    for path in found:
        path.rename(path.with_suffix(suffix))
    return [str(path) for path in found]


@tool(effect="read", impact="low")
def here() -> str:
    """Runs in the broker's own process."""
    return "here"


TOOLS = (append_line, report, first_number, rename_all, here)
