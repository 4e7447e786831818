"""Tools that a daemon and its clients share, and a client's program; a module of its own for both."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from wardline import Broker, FreeText, tool


@dataclass(frozen=True)
class Found:
    """A result that JSON has no word for."""

    text: str
    size: int


@tool(effect="read", impact="low", output="trusted")
def measure(text: Annotated[str, FreeText()]) -> Found:
    """Measures a text, in its caller's process."""
    return Found(text, len(text))


@tool(effect="read", impact="low")
async def measure_soon(text: Annotated[str, FreeText()]) -> int:
    """Measures a text, awaited."""
    return len(text)


@tool(effect="read", impact="low")
def fail(text: Annotated[str, FreeText()]) -> int:
    """Raises what its caller catches."""
    raise LookupError(text)


@tool(effect="read", impact="low")
def process() -> int:
    """Tells in which process it runs."""
    return os.getpid()


@tool(effect="read", impact="low", sandbox="process")
def boxed(text: Annotated[str, FreeText()]) -> str:
    """Runs in a sandbox of the daemon's."""
    return text.upper()


@tool(effect="irreversible", impact="high")
def destroy(name: Annotated[str, FreeText()]) -> str:
    """Wants a person."""
    return f"{name} is gone"


@tool(effect="read", impact="low")
def die(text: Annotated[str, FreeText()]) -> str:
    """Ends its process, as a crash would."""
    os._exit(7)


TOOLS = [measure, measure_soon, fail, process, boxed, destroy, die]


def main(address: str, count: str) -> None:
    """A client: makes that many calls, each under a key, and prints what they came to."""
    with Broker.connect(address, TOOLS) as broker, broker.session(user="alice") as session:
        for number in range(int(count)):
            result = broker.call(session, "measure", {"text": "x" * number}, key=str(number))
            print(result)  # noqa: T201 - it is what a program does
        if Path("die").exists():
            die("now")


if __name__ == "__main__":
    main(*sys.argv[1:])
