"""One evaluator process, seen from the broker's side: start it, ask it, end it.

An evaluator that timed out, died or sent what it should not is never asked again: its owner
kills it. So an answer can only ever reach the caller who asked, and the numbers on the frames
prove it once more. A question is not given up half-way, for that would cost the evaluator:
a cancelled caller stays for the answer, which is a matter of the deadline at most. Only a
cancellation past anyio (`asyncio.Task.cancel`) still does.

It is started from exactly the paths the broker itself was imported from, never from the
current folder (which may belong to the agent), with an otherwise empty environment.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import anyio
import orjson

import permissions
from permissions.errors import PdpTimeoutError, PdpUnavailableError, PolicyLoadError
from permissions.pdp.embedded.frames import ANSWER, QUESTION

if TYPE_CHECKING:
    from permissions.model import JsonObject, JsonValue

_MAX_ANSWER = 8 * 1024 * 1024
_START_SECONDS = 15.0

_SPIN_SECONDS = 0.00015
"""How long a question may hold its event loop while the evaluator has a core of its own.

A small policy takes 30 to 100 us. Going to sleep for that long, in poll(2) or in the event
loop, lets the core fall idle, and being woken costs 25 to 75 us; asking the socket again and
again does not, and `sched_yield` hands the core to the evaluator when both share it. Where it
goes to somebody else, on a busy machine, it comes back late: after this time one last look is
all, and the event loop waits for what takes longer, so that other calls go on meanwhile.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluator may use.

    `deadline_seconds` is for one question, `memory_bytes` for its address space.
    """

    deadline_seconds: float
    memory_bytes: int


class Evaluator:
    """A running evaluator process. Asked by one task at a time."""

    __slots__ = ("_buffer", "_limits", "_number", "_peer", "_process")

    def __init__(
        self, process: subprocess.Popen[bytes], peer: socket.socket, limits: Limits
    ) -> None:
        peer.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._process = process
        self._peer = peer
        self._limits = limits
        self._number = 0
        self._buffer = b""

    @property
    def pid(self) -> int:
        """Process id, for the log and for tests that kill it."""
        return self._process.pid

    async def load(self, bundle: bytes, entrypoint: str) -> None:
        """Configures the fresh process and gives it its bundle.

        Raises:
            PolicyLoadError: the engine refuses the bundle.
            PdpUnavailableError: the process died, or was not ready in 15 seconds.
        """
        config: JsonObject = {
            "entrypoint": entrypoint,
            "memory_bytes": self._limits.memory_bytes,
            # Only for a process whose parent is gone: twice what the parent would wait.
            "watchdog_seconds": 2 * self._limits.deadline_seconds + 1,
        }
        for frame in (orjson.dumps(config), bundle):
            kind, payload = await self._exchange(frame, _START_SECONDS)
            if kind == b"x":
                fault = orjson.loads(payload)
                raise PolicyLoadError(
                    [f"{fault['fault']} [rego.load]: {fault['text']}; see `policy check`"]
                )
            if kind != b"r":
                raise PdpUnavailableError("the policy evaluator did not start as it should")
            if payload and _permits(orjson.loads(payload)):
                raise PolicyLoadError(
                    ["main: rego.permits_nothing: an empty input is permitted; deny by default"]
                )

    async def ask(self, question: bytes) -> tuple[bytes, bytes]:
        """The kind and payload of the answer (see `worker`). No checkpoint when it is quick.

        Not cancelled while it waits.

        Raises:
            PdpTimeoutError: no answer within the deadline.
            PdpUnavailableError: the process died or broke the protocol.
        """
        return await self._exchange(question, self._limits.deadline_seconds, shield=True)

    def kill(self) -> None:
        """Ends the process by its id, at once, whatever it does."""
        self._process.kill()
        self._peer.close()

    def reap(self) -> int:
        """Waits for the killed process and gives its exit status. Takes milliseconds."""
        return self._process.wait()

    async def _exchange(
        self, payload: bytes, seconds: float, *, shield: bool = False
    ) -> tuple[bytes, bytes]:
        self._number += 1
        frame = QUESTION.pack(len(payload), self._number) + payload
        try:
            sent = self._peer.send(frame)
            if sent == len(frame) and (answer := self._spin()) is not None:
                return answer
            with anyio.fail_after(seconds, shield=shield):
                return await self._rest(memoryview(frame)[sent:])
        except TimeoutError:
            raise PdpTimeoutError(
                f"the policy evaluator gave no answer within {seconds:g} s and was ended"
            ) from None
        except OSError as err:
            raise PdpUnavailableError(
                f"the policy evaluator died while it was asked ({type(err).__name__}); it may"
                " have met its memory limit"
            ) from err

    def _spin(self) -> tuple[bytes, bytes] | None:
        until = perf_counter() + _SPIN_SECONDS
        while True:
            try:
                if (answer := self._received()) is not None:
                    return answer
            except BlockingIOError:
                if perf_counter() >= until:
                    return None
                os.sched_yield()

    async def _rest(self, unsent: memoryview) -> tuple[bytes, bytes]:
        while unsent:
            await anyio.wait_writable(self._peer)
            unsent = unsent[self._peer.send(unsent) :]
        while True:
            await anyio.wait_readable(self._peer)
            answer = self._received()
            if answer is not None:
                return answer

    def _received(self) -> tuple[bytes, bytes] | None:
        data = self._peer.recv(65536)
        if not data:
            raise ConnectionResetError("end of stream")
        self._buffer += data
        if len(self._buffer) < ANSWER.size:
            return None
        length, number, kind = ANSWER.unpack_from(self._buffer)
        if number != self._number or length > _MAX_ANSWER:
            raise PdpUnavailableError("the policy evaluator broke its protocol")
        end = ANSWER.size + length
        if len(self._buffer) < end:
            return None
        if len(self._buffer) > end:
            raise PdpUnavailableError("the policy evaluator answered more than it was asked")
        payload = self._buffer[ANSWER.size :]
        self._buffer = b""
        return kind, payload


async def start_evaluator(bundle: bytes, entrypoint: str, limits: Limits) -> Evaluator:
    """Starts a process, loads the bundle (JSON: `modules`, `data`) and warms it up.

    Raises:
        PolicyLoadError: the engine refuses the bundle.
        PdpUnavailableError: it cannot be started, or died while it started.
        PdpTimeoutError: it was not ready in time.
    """
    try:
        with anyio.CancelScope(shield=True):  # milliseconds, or a process nobody knows is left
            evaluator = await anyio.to_thread.run_sync(_spawn, limits)
    except OSError as err:
        raise PdpUnavailableError(
            f"no policy evaluator can be started: {err.strerror}"
        ) from err
    try:
        await evaluator.load(bundle, entrypoint)
    except BaseException:
        evaluator.kill()
        evaluator.reap()
        raise
    return evaluator


def _permits(response: JsonValue) -> bool:
    """Whether an answer of any form does not say no."""
    return isinstance(response, dict) and response.get("decision") is not False


def _spawn(limits: Limits) -> Evaluator:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-s",
                    "-S",
                    "-m",
                    "permissions.pdp.embedded.worker",
                    str(theirs.fileno()),
                ],
                env={"PYTHONPATH": ":".join(_import_roots()), "PYTHONDONTWRITEBYTECODE": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
        except OSError:
            ours.close()
            raise
    return Evaluator(process, ours, limits)


def _import_roots() -> list[str]:
    package = str(Path(permissions.__file__).resolve().parents[1])
    return [package, *(path for path in sys.path if Path(path).is_absolute())]
