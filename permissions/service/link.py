"""A client's end of the connection of one session: questions, answers, and what it is told unasked.

An answer goes to whoever asked, by its number, in any order. When the daemon is gone all who
wait are told so; nothing is ever answered here in its stead.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio

from permissions.errors import BrokerError, ServiceError
from permissions.service import wire
from permissions.service.frames import PeerGoneError

if TYPE_CHECKING:
    from permissions.execution.halt import Halt
    from permissions.model import JsonObject
    from permissions.service.frames import Frames


class Reloads:
    """Tells that other policies came into force in the daemon."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        """Set the next time; another one stands here from then on."""

    def tell(self) -> None:
        """They did."""
        self.event.set()
        self.event = anyio.Event()


class Link:
    """Questions and answers over one connection, of any number of tasks of one event loop."""

    def __init__(self, frames: Frames, reloads: Reloads) -> None:
        self._frames = frames
        self._reloads = reloads
        self._numbers = count(1)
        self._waiting: dict[int, anyio.Event] = {}
        self._answers: dict[int, JsonObject] = {}
        self._lost: BrokerError | None = None
        self._halts: dict[str, Halt] = {}
        self._stopped: set[str] = set()
        self.ended = anyio.Event()
        """Set once the daemon has hung up."""
        self.closed = False
        """Whether its session was left."""

    async def ask(self, do: str, **members: Any) -> JsonObject:
        """The answer to one question.

        Raises:
            ServiceError: the daemon is gone, or does not understand it.
            BrokerError: what the daemon's broker raised.
        """
        number = next(self._numbers)
        answered = self._waiting[number] = anyio.Event()
        try:
            if self._lost is None:
                try:
                    await self._frames.send({"id": number, "do": do, **members})
                except PeerGoneError:
                    await self.ended.wait()  # it may have said why before it hung up
                else:
                    await self._wait(number, answered)
        finally:
            del self._waiting[number]
        answer = self._answers.pop(number, None)
        if answer is None:
            raise self._lost or ServiceError("the broker's daemon gave no answer")
        if "error" in answer:
            raise wire.raised(answer["error"])
        return answer

    async def _wait(self, number: int, answered: anyio.Event) -> None:
        try:
            await answered.wait()
        except anyio.get_cancelled_exc_class():
            # The daemon records that the caller gave up; that is waited for.
            with anyio.CancelScope(shield=True), suppress(ServiceError):
                await self._frames.send({"id": 0, "do": "cancel", "of": number})
                await answered.wait()
            raise

    def hold(self, call: str, halt: Halt) -> None:
        """A call runs here from now on; the daemon may have said that it is stopped already."""
        self._halts[call] = halt
        if call in self._stopped:
            halt.stop()

    def let_go(self, call: str) -> None:
        """It has ended."""
        self._halts.pop(call, None)
        self._stopped.discard(call)

    def _stop(self, call: object) -> None:
        if isinstance(call, str):
            self._stopped.add(call)
            if (halt := self._halts.get(call)) is not None:
                halt.stop()

    async def read(self) -> None:
        """Hands out answers until the connection ends."""
        try:
            while (frame := await self._frames.receive()) is not None:
                number = frame.get("id")
                if number == 0 and "error" in frame:
                    self._lose(wire.raised(frame["error"]))
                    return
                if number == 0 and "stop" in frame:
                    self._stop(frame["stop"])
                if number == 0 and "reloaded" in frame:
                    self._reloads.tell()
                if number in self._waiting:
                    self._answers[number] = frame
                    self._waiting[number].set()
            self._lose(ServiceError("the broker's daemon has ended the connection"))
        except Exception as err:  # noqa: BLE001 - whatever it is, all who wait are told
            self._lose(ServiceError(str(err)))

    def close(self) -> None:
        """Its session was left: what is asked late is answered at once."""
        self.closed = True
        if not self.ended.is_set():
            self._lose(ServiceError("the session has ended"))

    def _lose(self, why: BrokerError) -> None:
        self._lost = why
        self.ended.set()
        for answered in self._waiting.values():
            answered.set()
