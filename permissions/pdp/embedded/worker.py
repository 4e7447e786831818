"""The evaluator: a process of its own that answers questions one after the other.

Started by `permissions.pdp.embedded.start` with one end of a socket pair and a clean environment.
The first frame it receives is its configuration, the second the bundle; after that each frame
is an input and each answer carries the number of its question.

A frame is a header of network byte order, then the payload: `length` (4 bytes, of the
payload) and `number` (8 bytes); an answer has one more byte, its kind:

| kind | payload |
|---|---|
| `v` | the value of the entrypoint, JSON |
| `u` | empty: the entrypoint is undefined |
| `e` | JSON `{"fault", "text"}`: the evaluation failed; `text` may quote input values |
| `r` | ready: the entrypoint's value for an empty input, or empty when it has none |
| `x` | JSON `{"fault", "text"}`: the bundle does not load (answer to the bundle) |

It dies rather than misbehave: memory beyond its limit aborts it, a question that runs longer
than the watchdog ends it by SIGALRM even when its parent is gone, and so does the end of the
socket. It opens no file, no network and no core dump after its start. It shares the user and
the file system of its parent: this confines faults, not an attacker who took it over.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

from permissions.pdp.embedded.frames import ANSWER, QUESTION
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FRAME = 64 * 1024 * 1024
MAX_ANSWER_CHARACTERS = 1_000_000


class _Channel:
    """Whole frames over a stream socket."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._rest = b""  # of what was read: the questions that wait
        self._unsent: list[bytes] = []
        self.answers_together = 1
        """How many answers are sent at once, when that many questions wait."""

    def receive(self) -> tuple[int, bytes]:
        """The next frame's number and payload; ends the process when the peer is gone."""
        # One read holds the header and a usual payload, or several; large ones take more.
        data = self._rest or self._more(65536)
        while len(data) < QUESTION.size:
            data += self._more(65536)
        length, number = QUESTION.unpack_from(data)
        if length > MAX_FRAME:
            sys.exit("frame too long")
        end = QUESTION.size + length
        if len(data) < end:
            whole = bytearray(data)
            while len(whole) < end:
                whole += self._more(end - len(whole))
            data = bytes(whole)
        self._rest = data[end:]
        return number, data[QUESTION.size : end]

    def _more(self, missing: int) -> bytes:
        data = self._peer.recv(min(missing, 1 << 20))
        if not data:
            sys.exit(0)
        return data

    def send(self, number: int, kind: bytes, payload: bytes) -> None:
        """Answers a question, at once or with the next that is there already."""
        self._unsent.append(ANSWER.pack(len(payload), number, kind) + payload)
        if len(self._unsent) >= self.answers_together or not self._has_question():
            self._peer.sendall(b"".join(self._unsent))
            self._unsent.clear()

    def _has_question(self) -> bool:
        if len(self._rest) < QUESTION.size:
            return False
        length, _ = QUESTION.unpack_from(self._rest)
        return bool(len(self._rest) >= QUESTION.size + length)


def _fault(error: EngineError) -> bytes:
    return json.dumps({"fault": error.fault, "text": error.text[:4000]}).encode()


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def serve(peer: socket.socket) -> None:
    """Answers until the peer goes away."""
    channel = _Channel(peer)
    number, payload = channel.receive()
    config = json.loads(payload)
    watchdog: float = config["watchdog_seconds"]
    rule: str = config["entrypoint"]
    formed: str = config["formed"]
    _limit(config["memory_bytes"])
    channel.send(number, b"r", b"")

    number, payload = channel.receive()
    bundle = json.loads(payload)
    try:
        engine = Engine(
            bundle["modules"], json.dumps(bundle["data"], ensure_ascii=False), translated=True
        )
    except EngineError as err:
        channel.send(number, b"x", _fault(err))
        return
    # The first evaluation builds what later ones use; no bundle may permit an empty input.
    kind, payload = _answer(engine, rule, b"{}", watchdog)
    channel.send(number, b"r", payload if kind == b"v" else b"")
    channel.answers_together = config["answers_together"]
    del bundle, payload

    is_plainly_formed = _form() if formed else _unknown_form
    while True:
        number, payload = channel.receive()
        asked = formed if is_plainly_formed(payload) else rule
        channel.send(number, *_answer(engine, asked, payload, watchdog))


def _form() -> Callable[[bytes], bool]:
    from permissions.pdp.embedded.form import is_plainly_formed  # milliseconds, not for all

    return is_plainly_formed


def _unknown_form(_: bytes) -> bool:
    return False


def _answer(engine: Engine, rule: str, payload: bytes, watchdog: float) -> tuple[bytes, bytes]:
    # SIGALRM keeps its default action: the kernel ends the process wherever the engine is.
    signal.setitimer(signal.ITIMER_REAL, watchdog)
    try:
        answer = engine.ask(rule, payload.decode())
    except EngineError as err:
        return b"e", _fault(err)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if answer == UNDEFINED:
        return b"u", b""
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return b"e", _fault(EngineError("the answer is too long"))
    return b"v", answer.encode()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
