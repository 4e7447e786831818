"""Prints the processor seconds of a plain program under Wardline, to its first answered call."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Annotated

from wardline import Broker, BrokerConfig, PathArg, tool


@tool(effect="read", impact="low")
def read(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a file."""
    return "text"


def main() -> None:
    """Makes one call."""
    with tempfile.TemporaryDirectory() as name:
        config = BrokerConfig.load(
            state=Path(name, "state"), workspace=Path(name), sandbox={"backends": ()}
        )
        with Broker([read], config=config) as broker, broker.session(user="alice"):
            read("a.txt")
            sys.stdout.write(f"{process_time():.2f}\n")


if __name__ == "__main__":
    main()
