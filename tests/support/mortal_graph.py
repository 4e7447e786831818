"""Steps of a LangGraph agent's life, in a process of its own, on SQLite checkpoints.

    mortal_graph.py FOLDER sync|async {start|approve|die|resume}...

`start` runs the graph until a person is needed, `approve` gives the person's answer, `die`
resumes and is killed by SIGKILL in the middle of the tool, `resume` goes on with the thread
and prints what the model was told, as JSON. Each run of the tool appends a line to `effects`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from graphs import Asked, Form, World, answers, turn
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from wardline import tool

if TYPE_CHECKING:
    from collections.abc import Callable


def pay_once(name: str) -> str:
    """The effect: one more line. Then the process may have its mortal moment."""
    folder = Path(sys.argv[1])
    with (folder / "effects").open("a") as file:
        file.write(f"{name}\n")
        file.flush()
        os.fsync(file.fileno())
    if "die" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"paid {name}"


def mortal_tools(kind: str, ran: list[str]) -> list[Any]:
    if kind == "sync":

        @tool(effect="write", impact="high")
        def pay(name: str) -> str:
            """Pays somebody."""
            ran.append(name)
            return pay_once(name)

        return [pay]

    @tool(name="pay", effect="write", impact="high")
    async def apay(name: str) -> str:
        """Pays somebody."""
        ran.append(name)
        return pay_once(name)

    return [apay]


async def live(world: World, steps: list[str]) -> None:
    graph = world.agent(turn(Asked("pay", {"name": "ann"}, "p")))
    async with world.session():
        for step in steps:
            match step:
                case "start":
                    await world.run(graph)
                case "approve":
                    await world.vote('"ann"')
                case _:
                    state = await world.resume(graph)
                    told = {key: m.content for key, m in answers(state).items()}
                    sys.stdout.write(json.dumps(told) + "\n")


async def main(folder: Path, kind: str, *steps: str) -> None:
    checkpoints = str(folder / "checkpoints.db")
    make: Callable[[str, list[str]], list[Any]] = mortal_tools
    form = Form(kind, kind, kind)
    if kind == "sync":
        with SqliteSaver.from_conn_string(checkpoints) as saver:
            await live(World(form, folder, saver=saver, make=make), list(steps))
    else:
        async with AsyncSqliteSaver.from_conn_string(checkpoints) as saver:
            await live(World(form, folder, saver=saver, make=make), list(steps))


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), *sys.argv[2:])
