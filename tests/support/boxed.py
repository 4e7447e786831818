"""Tools that a sandbox can import by name."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from wardline import FreeText, PathArg, tool


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
def injected(text: Annotated[str, FreeText()], state: Annotated[Any, InjectedState]) -> None:
    """Wants what only its framework has."""


def _raising(value: int) -> int:
    raise RuntimeError("a secret")


@tool(sandbox="process")
def picky() -> Annotated[int, AfterValidator(_raising)]:
    """Its type looks at the value with code of its own, which is broken."""
    return 5


@tool(effect="execute", impact="low", sandbox="container")
def linger(seconds: Annotated[float, FreeText()]) -> str:
    """Takes its time behind a container's limits."""
    time.sleep(seconds)
    return "done"


@tool(effect="execute", impact="low", sandbox="process", output="trusted")
def add(one: Annotated[int, FreeText()], other: Annotated[int, FreeText()]) -> int:
    """Adds behind a process's limits."""
    return one + other


SEEN: list[str] = []


@tool(effect="execute", impact="low", sandbox="process", stateful=True)
def remember(word: Annotated[str, FreeText()]) -> list[str]:
    """Gives each word it was called with since its interpreter was started."""
    if word == "leave":
        os._exit(3)
    if word == "sleep":
        time.sleep(1000)
    SEEN.append(word)
    return list(SEEN)


@tool(effect="read", impact="low", sandbox="process", stateful=True)
async def remember_too(word: str) -> list[str]:
    """Another tool of the same module."""
    SEEN.append(word)
    return list(SEEN)


@tool(effect="execute", impact="low", sandbox="process")
def forget(word: Annotated[str, FreeText()]) -> list[str]:
    """Does the same in a sandbox that is used once."""
    SEEN.append(word)
    return list(SEEN)


@tool(effect="execute", impact="high", sandbox="process", stateful=True)
def remember_money(word: Annotated[str, FreeText()]) -> list[str]:
    """Keeps its sandbox, and matters too much for that."""
    return [word]


TABLES: dict[str, list[str]] = {}


@tool(effect="write", impact="low", sandbox="process", stateful=True)
def ask(
    question: Annotated[str, FreeText()],
    table: Annotated[str | None, PathArg("read")] = None,
    answer: Annotated[str | None, PathArg("write")] = None,
) -> int:
    """Loads a table when one is named, and counts in the last one."""
    if table is not None:
        TABLES["last"] = Path(table).read_text().splitlines()
    count = sum(question in line for line in TABLES["last"])
    if answer is not None:
        Path(answer).write_text(str(count))
    return count
