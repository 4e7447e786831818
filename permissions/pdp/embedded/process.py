"""One evaluator process, seen from the broker's side: ask it, end it.

Several tasks may ask at once: their frames go out one behind the other, and the process answers
in that order. One of those who wait reads for all of them, the one who came last, and hands on
when it has its own answer. The numbers on the frames say whose an answer is: one that is not
the next expected number is no answer, and ends the process before anybody is given a thing.

A question's deadline runs from when the one before it was answered, so nobody pays for
another's. Who asked the question that is late, or that the process died of, is told so; those
who waited behind it are told that their evaluator is lost (`EvaluatorLostError`), and may ask
another. A caller who is cancelled leaves, and the answer is dropped when it comes. Longer than
others because all of this is one state, which nobody else may touch.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import orjson

from permissions.errors import (
    PdpTimeoutError,
    PdpUnavailableError,
    PolicyLoadError,
)
from permissions.pdp.embedded.frames import ANSWER, QUESTION
from permissions.pdp.embedded.lateness import (
    MOST,
    is_runnable,
    more_seconds,
    processor_seconds,
)
from permissions.pdp.embedded.question import Question

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from permissions.model import JsonObject, JsonValue
    from permissions.pdp.linker.linked import LinkedBundle

_MAX_ANSWER = 8 * 1024 * 1024
_START_SECONDS = 15.0
_NO_NUMBER = 0
"""Of what stands among the questions and is none (`Evaluator.drained`); they begin with 1."""
_DEATH_SECONDS = 0.05
"""For a process whose socket is closed to be gone: it closes it as the last thing."""

_SAMPLE_SECONDS = 0.05
"""How old it may be what is known of the processor time an evaluator used."""
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

    `deadline_seconds` is for one question, `memory_bytes` for its address space. It sends up to
    `answers_together` answers at once, when that many questions wait: the first of them then
    comes late, and all of them cost less.
    """

    deadline_seconds: float
    memory_bytes: int
    answers_together: int = 1


class EvaluatorLostError(PdpUnavailableError):
    """The process ended before it answered, through no fault of this question."""


class Evaluator:
    """A running evaluator process.

    `is_lost` says that it is never to be asked again: its owner kills it. `is_reserved` is its
    owner's: that nobody else asks it for now.
    """

    __slots__ = (
        "_buffer",
        "_extra",
        "_limits",
        "_number",
        "_peer",
        "_process",
        "_questions",
        "_reader",
        "_sampled",
        "_seconds",
        "_since",
        "_unsent",
        "is_lost",
        "is_reserved",
    )

    def __init__(
        self, process: subprocess.Popen[bytes], peer: socket.socket, limits: Limits
    ) -> None:
        peer.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._process = process
        self._peer = peer
        self._limits = limits
        self._seconds = limits.deadline_seconds
        self._number = 0
        self._buffer = b""
        self._questions: deque[Question] = deque()
        self._since = 0.0
        self._extra = 0.0
        self._sampled = (0.0, 0.0)
        self._reader: Question | None = None
        self._unsent: deque[memoryview] = deque()
        self.is_lost = False
        self.is_reserved = False

    @property
    def pid(self) -> int:
        """Process id, for the log and for tests that kill it."""
        return self._process.pid

    @property
    def waiting(self) -> int:
        """How many questions are not answered yet."""
        return len(self._questions)

    @property
    def busy_seconds(self) -> float:
        """How long it has been at the question it is at; 0 when there is none."""
        return monotonic() - self._since if self._questions else 0.0

    async def load(self, bundle: bytes, linked: LinkedBundle) -> None:
        """Configures the fresh process and gives it its bundle.

        Raises:
            PolicyLoadError: the engine refuses the bundle.
            PdpUnavailableError: the process died, or was not ready in 15 seconds.
        """
        config: JsonObject = {
            "answers_together": self._limits.answers_together,
            "entrypoint": linked.entrypoint,
            "formed": linked.formed,
            "memory_bytes": self._limits.memory_bytes,
            # Only for a process whose parent is gone: more than the parent would wait.
            "watchdog_seconds": 2 * MOST * self._limits.deadline_seconds + 1,
        }
        self._seconds = _START_SECONDS
        for frame in (orjson.dumps(config), bundle):
            kind, payload = await self.ask(frame)
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
        self._seconds = self._limits.deadline_seconds

    async def ask(
        self, payload: bytes, *, meanwhile: Callable[[], None] | None = None
    ) -> tuple[bytes, bytes]:
        """The kind and payload of the answer (see `worker`). No checkpoint when it is quick.

        `meanwhile` is called when the caller holds its loop for the answer; what it raises leaves
        that to be dropped when it comes.

        Raises:
            PdpTimeoutError: no answer within the deadline.
            EvaluatorLostError: the process ended before it came to this question.
            PdpUnavailableError: the process died of this question.
        """
        if self.is_lost:
            raise EvaluatorLostError("the policy evaluator was lost before it was asked")
        question = self._question()
        try:
            if self._put(QUESTION.pack(len(payload), question.number) + payload):
                if (
                    len(self._questions) > 1
                    or _others_are_ready()
                    or not self._spin(question, meanwhile)
                ):
                    await self._answered(question)
            else:
                await self._sent_and_answered(question)
        finally:
            question.woken = None
            self._hand_on()
        if question.error is not None:
            raise question.error
        assert question.answer is not None  # noqa: S101 - it is over, and without an error
        return question.answer

    async def ask_all(self, payloads: Sequence[bytes]) -> list[tuple[bytes, bytes] | None]:
        """The answers to questions that go out together; None where there is none.

        Whose fault that is cannot be told: an answer may have been on its way with others.
        """
        if self.is_lost or not payloads:
            return [None] * len(payloads)
        questions = [self._question() for _ in payloads]
        frames = bytearray()
        for question, payload in zip(questions, payloads, strict=True):
            frames += QUESTION.pack(len(payload), question.number) + payload
        last = questions[-1]
        try:
            if self._put(bytes(frames)):
                await self._answered(last)
            else:
                await self._sent_and_answered(last)
        finally:
            last.woken = None
            self._hand_on()
        return [each.answer for each in questions]

    def _question(self) -> Question:
        """The next question, which is asked from now on."""
        self._number += 1
        question = Question(self._number)
        if not self._questions:
            self._begin()
        self._questions.append(question)
        return question

    def _begin(self) -> None:
        """The first of those who wait is asked from now on."""
        self._since, self._extra = monotonic(), 0.0
        if self._since - self._sampled[0] > _SAMPLE_SECONDS:
            self._sampled = self._since, processor_seconds(self.pid)

    async def _sent_and_answered(self, question: Question) -> None:
        """Half a frame is worse than none: its caller stays until it is sent."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send)
                await self._answered(question)
        await anyio.lowlevel.checkpoint_if_cancelled()

    async def drained(self) -> None:
        """Returns when every question asked so far is over, or the evaluator is lost."""
        if not self._questions:
            return
        barrier = Question(_NO_NUMBER)
        self._questions.append(barrier)
        try:
            await self._answered(barrier)
        finally:
            barrier.woken = None
            self._hand_on()

    def kill(self) -> None:
        """Ends the process by its id, at once, whatever it does."""
        self._process.kill()
        self._lose(None)
        if self._peer.fileno() >= 0:
            anyio.notify_closing(self._peer)
            self._peer.close()

    def reap(self) -> int:
        """Waits for the killed process and gives its exit status. Takes milliseconds."""
        return self._process.wait()

    def _put(self, frame: bytes) -> bool:
        """Sends a frame, or puts it behind those that wait. False when it is cut, and waits."""
        if self._unsent:
            self._unsent.append(memoryview(frame))
            return True
        try:
            sent = self._peer.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError as err:
            self._lose(err)
            return True
        if sent < len(frame):
            self._unsent.append(memoryview(frame)[sent:])
        return sent == len(frame)

    async def _send(self) -> None:
        """Sends what waits to be sent."""
        try:
            while self._unsent:
                await anyio.wait_writable(self._peer)
                first = self._unsent.popleft()
                if rest := first[self._peer.send(first) :]:
                    self._unsent.appendleft(rest)
        except (OSError, anyio.ClosedResourceError) as err:
            self._lose(err)
        except BaseException as err:  # cancelled past anyio, and the frame is cut
            self._lose(err)
            raise

    async def _answered(self, question: Question) -> None:
        """Returns when a question is over; reads for all when nobody else does."""
        while not question.is_over:
            if self._reader is None:
                self._reader = question
                try:
                    await self._read()
                finally:
                    self._reader = None
            else:
                question.woken = anyio.Event()
                await question.woken.wait()

    def _hand_on(self) -> None:
        """Wakes the last of those who wait, to read for the others."""
        if self._reader is None:
            for question in reversed(self._questions):
                if question.woken is not None:
                    question.woken.set()
                    return

    async def _read(self) -> None:
        try:
            ends = self._since + self._seconds + self._extra
            with anyio.fail_after(max(ends - monotonic(), 0)):
                await anyio.wait_readable(self._peer)
        except TimeoutError:
            try:
                self._receive()  # a busy loop comes late to what is there
            except BlockingIOError:
                self._late()
        except anyio.ClosedResourceError as err:
            self._lose(err)
        else:
            with suppress(BlockingIOError):
                self._receive()

    def _spin(self, question: Question, meanwhile: Callable[[], None] | None) -> bool:
        """Whether it is over within a fraction of a millisecond.

        `meanwhile` comes after the core was offered to the evaluator: one that took it has
        answered by then, and what is done sooner than it has to be costs more than it saves.
        """
        until = perf_counter() + _SPIN_SECONDS
        has_yielded = False
        while not question.is_over:
            try:
                self._receive()
            except BlockingIOError:
                if has_yielded and meanwhile is not None:
                    meanwhile()
                    meanwhile = None
                elif perf_counter() >= until:
                    return False
                else:
                    os.sched_yield()
                    has_yielded = True
        return True

    def _receive(self) -> None:
        """Gives out what is there, when every answer of it is an expected one.

        Raises:
            BlockingIOError: there is nothing.
        """
        try:
            data = self._peer.recv(262144)
        except BlockingIOError:
            raise
        except OSError as err:
            self._lose(err)
            return
        if not data:
            self._died()
            return
        answers = self._parsed(data)
        if answers is None:
            self._lose(None)
            return
        for answer in answers:
            question = self._questions.popleft()
            question.answer = answer
            question.wake()
        if answers:
            self._begin()
        while self._questions and self._questions[0].number == _NO_NUMBER:
            question = self._questions.popleft()
            question.answer = (b"", b"")
            question.wake()

    def _parsed(self, data: bytes) -> list[tuple[bytes, bytes]] | None:
        """The whole answers, in the order of their questions; None when one is nobody's."""
        self._buffer += data
        answers: list[tuple[bytes, bytes]] = []
        at = 0
        while len(self._buffer) - at >= ANSWER.size:
            length, number, kind = ANSWER.unpack_from(self._buffer, at)
            is_next = len(answers) < len(self._questions)
            if not is_next or number != self._questions[len(answers)].number:
                return None
            end = at + ANSWER.size + length
            if length > _MAX_ANSWER:
                return None
            if len(self._buffer) < end:
                break
            answers.append((kind, self._buffer[at + ANSWER.size : end]))
            at = end
        self._buffer = self._buffer[at:]
        is_more_than_asked = bool(self._buffer) and len(answers) == len(self._questions)
        return None if is_more_than_asked else answers

    def _late(self) -> None:
        """Gives the question more time where others had the processor, else ends it."""
        elapsed = monotonic() - self._since
        if self._seconds == self._limits.deadline_seconds:
            sampled_at, had = self._sampled
            # Less than it was: what was used between the sample and the question may be of others.
            used = processor_seconds(self.pid) - had - (self._since - sampled_at)
            more = more_seconds(
                deadline=self._seconds,
                elapsed=elapsed,
                used=used,
                runnable=is_runnable(self.pid),
            )
            if more:
                self._extra = elapsed - self._seconds + more
                return
        try:
            self._receive()  # it may have answered, and sleep by now
        except BlockingIOError:
            self._time_out()

    def _time_out(self) -> None:
        self._questions[0].error = PdpTimeoutError(
            f"the policy evaluator gave no answer within {self._seconds:g} s and was ended"
        )
        self._lose(None)

    def _died(self) -> None:
        """At the end of the stream: whose question it was, unless somebody killed it."""
        try:
            status = self._process.wait(_DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL  # it lives and closed its socket, whyever
        if self._questions and status != -signal.SIGKILL:
            self._questions[0].error = PdpUnavailableError(
                "the policy evaluator died while it was asked; it may have met its memory limit"
            )
        self._lose(None)

    def _lose(self, err: BaseException | None) -> None:
        """Tells all who wait that this evaluator is lost, those told otherwise excepted."""
        self.is_lost = True
        self._unsent.clear()
        for question in self._questions:
            if question.error is None:
                question.error = EvaluatorLostError(
                    "the policy evaluator was lost while it was asked"
                    + (f" ({type(err).__name__})" if err else "")
                )
            question.wake()
        self._questions.clear()


def _others_are_ready() -> bool:
    """Whether other tasks of this loop could run now. A loop that does not tell has none.

    Holding the loop for an answer is quicker for a caller who is alone, and slower for all
    when they are many.
    """
    return bool(getattr(anyio.lowlevel.current_token().native_token, "_ready", None))


def _permits(response: JsonValue) -> bool:
    """Whether an answer of any form does not say no."""
    return isinstance(response, dict) and response.get("decision") is not False
