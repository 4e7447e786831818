"""Asks the daemon about one call, over its socket, with the standard library alone.

The frames are those of `permissions.service.frames`, what is said in them that of
`permissions.service.conversation`. Each call is a session of the agent's run; another call of
the run that is in hand is waited for. Whoever listens is believed by the same rule as there: the
folder of the socket is nobody else's to write, and the listener is root, this user, or the
folder's owner.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from permissions.coding.verdict import ALLOWED, Verdict, verdict_of

if TYPE_CHECKING:
    from permissions.coding.calls import Call

VERSION = 1
"""Of what is said in frames (`permissions.service.frames.VERSION`)."""
MAX_FRAME = 32 * 1024 * 1024
HANDED_OVER = {"status": "ok", "detail": "the coding agent runs it", "verdict": "handed_over"}
"""How the record ends a call that the agent was let make: nobody tells what came of it."""


class DaemonError(Exception):
    """The daemon cannot be asked, or does not answer as one of this version."""


class _RunInHandError(DaemonError):
    """Another call of the run is being decided."""


def ask(
    path: str, opening: dict[str, Any], call: Call, *, may_ask: bool, until: float
) -> Verdict:
    """What the daemon says of a call.

    Args:
        path: of its socket.
        opening: what the session is opened with.
        call: as `permissions.coding.calls` gives it.
        may_ask: whether a question may be put to the person at the agent's prompt.
        until: on `time.monotonic`; then it is given up.

    Raises:
        DaemonError: there is no answer; the call must not be made.
    """
    pause = 0.01
    while True:
        try:
            return _asked(path, opening, call, may_ask=may_ask, until=until)
        except _RunInHandError:
            if time.monotonic() + pause > until:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 0.2)


def _asked(
    path: str, opening: dict[str, Any], call: Call, *, may_ask: bool, until: float
) -> Verdict:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        _connect(link, path)
        talk = _Talk(link, until)
        talk.say(1, "open", version=VERSION, tools={}, roles=[], **opening)
        answer = talk.say(2, "admit", tool=call.tool, arguments=call.arguments, caller="hook")
        if "denial" in answer:
            found = verdict_of(
                answer["denial"], may_ask=may_ask and answer.get("one_person") is True
            )
        elif "admitted" in answer:
            ended = talk.say(
                3, "settle", call=answer["admitted"]["call"], outcome=dict(HANDED_OVER)
            )
            found = verdict_of(ended["denial"], may_ask=False) if "denial" in ended else ALLOWED
        else:
            raise DaemonError("the daemon's answer is neither a permission nor a refusal")
        talk.say(4, "close", failed=False)
        talk.wait_for_end()
        return found


def _connect(link: socket.socket, path: str) -> None:
    folder = os.path.dirname(path)  # noqa: PTH120 - no pathlib before each call
    try:
        about = os.stat(folder)  # noqa: PTH116
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise DaemonError(f"{folder} can be written by others; chmod go-w {folder}")
        link.settimeout(5)
        link.connect(path)
    except OSError as err:
        raise DaemonError(
            f"no broker listens on {path} ({err.strerror}); start it: wardline serve"
        ) from err
    raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    uid = struct.unpack("3i", raw)[1]
    if uid not in (0, os.geteuid(), about.st_uid):
        raise DaemonError(f"who listens on {path} is user {uid}, to whom its folder is not")


class _Talk:
    """One conversation: each question is answered before the next."""

    def __init__(self, link: socket.socket, until: float) -> None:
        self._link = link
        self._until = until

    def say(self, number: int, do: str, **members: Any) -> dict[str, Any]:
        frame = json.dumps({"id": number, "do": do, **members}).encode()
        try:
            self._wait()
            self._link.sendall(len(frame).to_bytes(4, "big") + frame)
            while True:
                answer = self._receive()
                if "error" in answer:
                    said = answer["error"]
                    kind = (
                        _RunInHandError if said.get("type") == "RunOpenError" else DaemonError
                    )
                    raise kind(str(said.get("text")))
                if answer.get("id") == number:
                    return answer
        except (OSError, ValueError) as err:
            raise DaemonError(f"the daemon does not answer: {err}") from err

    def wait_for_end(self) -> None:
        """Waits until the session is over, so that the next call of the run finds it closed."""
        with suppress(OSError):
            self._wait()
            while self._link.recv(4096):
                self._wait()

    def _wait(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        self._link.settimeout(left)

    def _receive(self) -> dict[str, Any]:
        length = int.from_bytes(self._exactly(4), "big")
        if length > MAX_FRAME:
            raise DaemonError("the daemon sent a frame that is too long")
        found = json.loads(self._exactly(length))
        if not isinstance(found, dict):
            raise DaemonError("the daemon sent no JSON object")
        return found

    def _exactly(self, length: int) -> bytes:
        parts = []
        while length:
            self._wait()
            part = self._link.recv(min(length, 1 << 20))
            if not part:
                raise DaemonError("the daemon has ended the connection")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
