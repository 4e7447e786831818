"""Tools that a sandbox can import by name."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from permissions import PathArg, tool


class InjectedState:
    """Stands for a framework's mark; only its name counts."""


@tool
def work(
    source: Annotated[str, PathArg("read")],
    more: list[Annotated[str, PathArg("read")]] | None = None,
    target: Annotated[str | None, PathArg("write")] = None,
) -> int:
    """Counts the characters of its files, and writes the number down."""
    count = sum(len(Path(name).read_text()) for name in [source, *(more or [])])
    if target is not None:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text(str(count))
    return count


@tool
def injected(text: str, state: Annotated[Any, InjectedState]) -> None:
    """Wants what only its framework has."""


@tool(effect="execute", impact="low", sandbox="container")
def linger(seconds: float) -> str:
    """Takes its time behind a container's walls."""
    time.sleep(seconds)
    return "done"


@tool(effect="execute", impact="low", sandbox="process", output="trusted")
def add(one: int, other: int) -> int:
    """Adds behind a process's walls."""
    return one + other
