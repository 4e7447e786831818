"""A sub-agent of another framework in a process of its own, asked over A2A; tools of both.

    sub_agents.py FRAMEWORK ADDRESS FOLDER

serves `SendMessage` of A2A 1.0 (its JSON-RPC binding) on a port of the loopback that it prints,
and does each task below the warrant that the message brings. Its model is scripted: it tries more
than it was given.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import httpx
from framework_agents import AGENTS
from graphs import Asked

from wardline import (
    BrokerConfig,
    BrokerError,
    FreeText,
    open_broker,
    open_warranted,
    tool,
    warrant_for,
)

if TYPE_CHECKING:
    from starlette.requests import Request

EXTENSION = "urn:wardline:a2a:warrant:1"
"""Under which a message's metadata has the warrant."""
SENDER: dict[str, Any] = {}
"""Of the agent that sends: its broker, its session, and the URL of the other."""
MAY = {"tools": {"find_case": {}, "close_case": {"arguments": {"number": {"enum": ["4711"]}}}}}


@tool(effect="read", impact="low")
async def find_case(number: Annotated[str, FreeText()]) -> str:
    """Looks a case up."""
    return f"case {number} is open"


@tool(effect="write", impact="low")
async def close_case(number: Annotated[str, FreeText()]) -> str:
    """Closes a case."""
    return f"case {number} is closed"


@tool(effect="read", impact="low")
async def ask_clerk(task: Annotated[str, FreeText()]) -> str:
    """Has another agent do a task."""
    warrant = await warrant_for(
        SENDER["broker"], SENDER["session"], agent="clerk", may=MAY, task=task
    )
    return await send(SENDER["url"], task, warrant)


TOOLS = [find_case, close_case, ask_clerk]
TRIES = (
    Asked("close_case", {"number": "4711"}, "c1"),
    Asked("close_case", {"number": "4713"}, "c2"),
    Asked("find_case", {"number": "4713"}, "c3"),
    Asked("ask_clerk", {"task": "Close 4713"}, "c4"),
)


async def send(url: str, task: str, warrant: str) -> str:
    """A task as a message of A2A; what the other agent says of it."""
    message = {
        "messageId": "m1",
        "role": "ROLE_USER",
        "parts": [{"text": task}],
        "extensions": [EXTENSION],
        "metadata": {EXTENSION: warrant},
    }
    asked = {
        "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message},
    }  # fmt: skip
    headers = {"A2A-Version": "1.0", "A2A-Extensions": EXTENSION}
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
        said = (await client.post(url, json=asked, headers=headers)).json()
    if "error" in said:
        return str(said["error"]["message"])
    return str(said["result"]["message"]["parts"][0]["text"])


async def serve(framework: str, address: str, folder: Path) -> None:
    """Answers until it is ended."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    config = BrokerConfig.load().model_copy(update={"broker": address})
    async with open_broker(config, TOOLS) as broker:

        async def answer(request: Request) -> JSONResponse:
            asked = await request.json()
            message = asked["params"]["message"]
            try:
                async with open_warranted(broker, message["metadata"][EXTENSION]):
                    ended = await AGENTS[framework](TOOLS, TRIES, folder, False)  # noqa: FBT003
            except BrokerError as err:
                error = {"code": -32602, "message": str(err)}
                return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "error": error})
            told = "\n".join(ended.told[each.id] for each in TRIES)
            reply = {"messageId": "m2", "role": "ROLE_AGENT", "parts": [{"text": told}]}
            result = {"message": reply}
            return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": result})

        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - who started it reads it
        app = Starlette(routes=[Route("/", answer, methods=["POST"])])
        await uvicorn.Server(uvicorn.Config(app, log_level="error")).serve([listener])


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1], sys.argv[2], Path(sys.argv[3]))
