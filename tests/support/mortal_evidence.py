"""A broker in a process of its own that dies, by SIGKILL, in a tool or just after its result.

    mortal_evidence.py STATE WORKSPACE LEVEL tool|result

The call is a read that asks nobody, at the evidence level of the settings. `wardline` is all it
imports of the project: it is what an agent's program is.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import anyio

from wardline import BrokerConfig, Completed, PathArg, ToolCall, open_broker, open_session, tool


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@tool(effect="read", impact="low", output="trusted")
async def look(path: Annotated[str, PathArg("read")]) -> str:
    """Looks at a file."""
    if sys.argv[4] == "tool":
        die()
    return f"saw {path}"


async def main() -> None:
    config = BrokerConfig.load(
        state=Path(sys.argv[1]),
        workspace=Path(sys.argv[2]),
        trace={"evidence": sys.argv[3]},
        sandbox={"backends": ()},
    )
    async with open_broker(config, [look]) as broker, open_session(broker) as session:
        result = await broker.call(session, ToolCall("look", {"path": "a.txt"}))
        if isinstance(result, Completed):
            die()
        sys.exit(f"not what was meant: {result}")


if __name__ == "__main__":
    anyio.run(main)
