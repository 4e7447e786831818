"""A worker that is forked from a process with an open broker is told so, at once."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import anyio, json, os, sys
from functools import partial
from permissions.setup.config import BrokerConfig
from permissions.sessions.open import open_session
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from wardline import Broker, tool

@tool(effect="read", impact="low")
def look(name: str) -> str:
    return name

@tool(effect="read", impact="low")
async def alook(name: str) -> str:
    return name

def said(work):
    try:
        return repr(work())
    except BaseException as err:
        return f"{type(err).__name__}: {err}"

def in_child(work):
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, said(work).encode())
        if leaves:
            os.close(writing)
            sys.exit(0)  # through the `with` blocks
        os._exit(0)
    os.close(writing)
    return os.fdopen(reading).read()

state, leaves = sys.argv[1], sys.argv[2] == "leaves"
config = BrokerConfig.load(state=state + "/sync", workspace=state, sandbox={"backends": ()})
told = {}
with Broker([look, alook], config=config) as broker, broker.session(user="kim") as session:
    look("before")
    told["sync tool"] = in_child(lambda: look("child"))
    told["async tool"] = in_child(lambda: anyio.run(alook, "child"))
    told["call"] = in_child(lambda: broker.call(session, "look", {"name": "child"}))
    told["explain"] = in_child(lambda: look.guard.explain("child"))
    told["session"] = in_child(lambda: broker.session(user="kim").__enter__())
    told["parent"] = look("after")

async def main():
    config = BrokerConfig.load(state=state + "/async", workspace=state, sandbox={"backends": ()})
    async with open_broker(config, [look, alook]) as broker, open_session(broker) as session:
        pid = os.fork()
        if not pid:
            try:
                await broker.call(session, ToolCall("alook", {"name": "child"}))
            except BaseException as err:
                os.write(1, json.dumps({"async broker": f"{type(err).__name__}: {err}"}).encode())
                os.write(1, b"\\n")
            os._exit(0)
        os.waitpid(pid, 0)
        told["async parent"] = await alook("after")

anyio.run(main)
print(json.dumps(told))
"""


@pytest.mark.parametrize("ending", ["leaves", pytest.param("exits", marks=pytest.mark.slow)])
def test_a_guarded_tool_in_a_forked_worker_fails_at_once_and_says_why(
    ending: str, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), ending],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    told = {name: text for line in lines for name, text in line.items()}
    assert told.pop("parent") == told.pop("async parent") == "after"
    assert set(told) == {
        *("sync tool", "async tool", "call", "explain", "session", "async broker")
    }
    for text in told.values():
        assert text.startswith("NoSessionError"), told
        assert "forked" in text
        assert "open a broker in each worker" in text
