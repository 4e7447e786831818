"""A tool of a daemon and its client, either of which dies, by SIGKILL, at a named point of a call.

As a module of tools it is the daemon's (`wardline serve --tools mortal_service`), which dies at the
point that the file `die` names, in the folder where it runs. As a program it is a client:

    mortal_service.py ADDRESS RUN [POINT]

It opens the session RUN, makes the same call under the same key each time, and prints what that
came to. The call adds a line to the file `effects`. Everything is real but the death.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import permissions.service.remote as client
from permissions.errors import RunOpenError, ServiceError
from permissions.model import Completed
from permissions.service.frames import Frames
from permissions.trace.log import SignedLog
from wardline import Broker, FreeText, tool

if TYPE_CHECKING:
    from collections.abc import Callable

DAEMON = {
    "session recorded": 0,
    "intent recorded": 0,
    "admission sent": 0,
    "outcome received": 1,
    "outcome recorded": 1,
    "answer sent": 1,
    "close received": 1,
}
"""Where a daemon may die: and how often the tool has run by then."""

CLIENT = {
    "opened": 0,
    "before admit": 0,
    "admitted": 0,
    "before effect": 0,
    "after effect": 1,
    "outcome sent": 1,
    "settled": 1,
}
"""The same for a client."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _daemon_at(point: str) -> None:
    asked = Path("die")
    if asked.exists() and asked.read_text() == point:
        asked.unlink()
        die()


def _client_at(point: str) -> None:
    if sys.argv[3:] == [point]:
        die()


def _mortal_daemon() -> None:
    append, send, receive = SignedLog.append, Frames.send, Frames.receive
    recorded = {
        "run.start": "session recorded",
        "start": "intent recorded",
        "outcome": "outcome recorded",
    }
    sent = {"admitted": "admission sent", "settled": "answer sent"}
    received = {"settle": "outcome received", "close": "close received"}

    @wraps(append)
    async def appended(self: Any, entries: Any, **how: Any) -> Any:
        receipt = await append(self, entries, **how)
        for each in entries:
            if each.type in recorded:
                _daemon_at(recorded[each.type])
        return receipt

    @wraps(send)
    async def was_sent(self: Any, frame: Any) -> None:
        await send(self, frame)
        for member in sent.keys() & frame.keys():
            _daemon_at(sent[member])

    @wraps(receive)
    async def was_received(self: Any, **how: Any) -> Any:
        frame = await receive(self, **how)
        if frame is not None and (point := received.get(frame.get("do"))):
            _daemon_at(point)
        return frame

    SignedLog.append, Frames.send, Frames.receive = appended, was_sent, was_received


def _mortal_client() -> None:
    ask, send = client.Link.ask, Frames.send
    after = {"open": "opened", "admit": "admitted", "settle": "settled"}

    @wraps(ask)
    async def asked(self: Any, do: str, **members: Any) -> Any:
        if do == "admit":
            _client_at("before admit")
        answer = await ask(self, do, **members)
        _client_at(after.get(do, ""))
        return answer

    @wraps(send)
    async def was_sent(self: Any, frame: Any) -> None:
        await send(self, frame)
        if frame.get("do") == "settle":
            _client_at("outcome sent")

    client.Link.ask, Frames.send = asked, was_sent


@tool(effect="write", impact="low")
def leave_mark(run: Annotated[str, FreeText()]) -> int:
    """Adds a line to a file, in its caller's process."""
    _client_at("before effect")
    with Path("effects").open("a") as effects:
        effects.write(f"{run}\n")
    _client_at("after effect")
    return 1


@tool(effect="read", impact="low")
def linger(name: Annotated[str, FreeText()]) -> str:
    """Says that it runs, and ends when it is let."""
    Path(f"{name}.runs").touch()
    while not Path(f"{name}.may-end").exists():
        time.sleep(0.02)
    return name


TOOLS = [leave_mark, linger]


def _retried(work: Callable[[], str]) -> str:
    """Whoever died may have its session closed a moment later."""
    late = time.monotonic() + 120
    while True:
        try:
            return work()
        except RunOpenError:
            if time.monotonic() > late:
                raise
            time.sleep(0.05)


def main(address: str, run: str) -> None:
    def called() -> str:
        try:
            with (
                Broker.connect(address, TOOLS) as broker,
                broker.session(user="alice", run=run) as session,
            ):
                result = broker.call(session, "leave_mark", {"run": run}, key="once")
        except ServiceError:
            return "unreachable"
        if isinstance(result, Completed):
            return "replayed" if result.replayed else "ran"
        return result.code

    print(json.dumps(_retried(called)))  # noqa: T201 - it is what a program does


if __name__ == "__main__":
    _mortal_client()
    main(*sys.argv[1:3])
elif "serve" in sys.argv:
    _mortal_daemon()
