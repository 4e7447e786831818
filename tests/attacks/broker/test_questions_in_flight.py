"""An evaluator that dies, hangs or lies with many questions in it answers nobody wrongly."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from rego_samples import sample_bundle, sample_request

from permissions.errors import PdpError, PdpTimeoutError, PdpUnavailableError
from permissions.pdp.embedded.frames import ANSWER
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.embedded.process import Evaluator, EvaluatorLostError, Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.both_backends

WAIT_SECONDS = 40
CALLERS = 40


async def until(pdp: EmbeddedPdp, waiting: int) -> None:
    """Returns when so many questions are in evaluators."""
    with anyio.fail_after(WAIT_SECONDS):
        while sum(each.waiting for each in pdp._living) < waiting:  # noqa: ASYNC110
            await anyio.sleep(0.002)


async def up(pdp: EmbeddedPdp) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        while len(pdp._living) < 2 or pdp._dead:  # noqa: ASYNC110
            await anyio.sleep(0.005)


class Asked:
    """Many callers at once, each with a question of its own, and what they were told."""

    def __init__(self, pdp: EmbeddedPdp) -> None:
        self.pdp = pdp
        self.told: dict[str, tuple[str, ...] | type[BaseException]] = {}

    async def one(self, call: str, tool: str = "echo") -> None:
        try:
            self.told[call] = (await self.pdp.evaluate(sample_request(tool, call))).rules
        except PdpError as err:
            self.told[call] = type(err)

    def start(self, tasks: anyio.abc.TaskGroup, callers: int = CALLERS) -> None:
        for number in range(callers):
            tasks.start_soon(self.one, f"call-{number}")

    @property
    def own(self) -> list[str]:
        """The callers who were told their own answer."""
        return [call for call, told in self.told.items() if told == (call,)]

    @property
    def wrong(self) -> dict[str, object]:
        """Answers that are another's, which must never be."""
        return {
            call: told
            for call, told in self.told.items()
            if isinstance(told, tuple) and told != (call,)
        }


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    async with EmbeddedPdp(sample_bundle(), hard_deadline=20) as pdp:
        await up(pdp)
        yield Asked(pdp)


async def test_many_questions_at_once_have_each_their_own_answer(asked: Asked) -> None:
    before = [each.pid for each in asked.pdp._living]
    async with anyio.create_task_group() as tasks:
        asked.start(tasks, 200)

    assert len(asked.own) == 200
    assert [each.pid for each in asked.pdp._living] == before


async def test_killed_with_many_in_it_it_costs_nobody_an_answer(asked: Asked) -> None:
    """Both are stopped while they are asked: a slow machine asks the second as well."""
    both = tuple(asked.pdp._living)
    for each in both:
        os.kill(each.pid, signal.SIGSTOP)
    async with anyio.create_task_group() as tasks:
        asked.start(tasks)
        await until(asked.pdp, CALLERS)
        fuller, other = sorted(both, key=lambda each: -each.waiting)
        os.kill(fuller.pid, signal.SIGKILL)
        os.kill(other.pid, signal.SIGCONT)

    assert len(asked.own) == CALLERS
    assert fuller not in asked.pdp._living


async def test_both_killed_again_and_again_answer_nobody_wrongly(asked: Asked) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            asked.start(tasks, 20)
            await anyio.lowlevel.checkpoint()
            for evaluator in list(asked.pdp._living):
                os.kill(evaluator.pid, signal.SIGKILL)

    assert not asked.wrong
    assert set(map(type, asked.told.values())) <= {tuple, type}
    await up(asked.pdp)
    await asked.one("after")
    assert asked.told["after"] == ("after",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "error"), [("loop", PdpTimeoutError), ("bomb", PdpUnavailableError)]
)
async def test_one_that_hangs_or_bursts_pays_alone(tool: str, error: type[PdpError]) -> None:
    """It is told so; whoever waited behind it is answered by another."""
    memory = 256 * 1024 * 1024
    async with EmbeddedPdp(sample_bundle(), hard_deadline=4, memory_bytes=memory) as pdp:
        await up(pdp)
        asked = Asked(pdp)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asked.one, "culprit", tool)
            asked.start(tasks, 10)

    assert asked.told.pop("culprit") is error
    assert len(asked.own) == 10


async def test_callers_who_leave_cost_nothing_and_nobody_gets_their_answers(
    asked: Asked,
) -> None:
    before = [each.pid for each in asked.pdp._living]

    async def leave(number: int) -> None:
        with anyio.move_on_after(number / 20_000):
            await asked.one(f"left-{number}")

    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for number in range(CALLERS):
                tasks.start_soon(leave, number)
                tasks.start_soon(asked.one, f"stays-{number}")

    assert not asked.wrong
    assert {f"stays-{number}" for number in range(CALLERS)} <= set(asked.own)
    assert [each.pid for each in asked.pdp._living] == before


class _OwnFaultError(Exception):
    pass


async def test_a_lone_caller_s_own_work_is_done_while_the_evaluator_has_the_question() -> None:
    """The evaluator here answers when it is done; one whose work failed is answered to nobody."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", "input()"]

    def answer() -> None:
        assert theirs.recv(100).endswith(b"one")
        theirs.sendall(frame(1, b"1"))

    def fail() -> None:
        raise _OwnFaultError

    with theirs, subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        evaluator = Evaluator(process, ours, Limits(WAIT_SECONDS, memory_bytes=1))
        try:
            first = await evaluator.ask(b"one", meanwhile=answer)
            with pytest.raises(_OwnFaultError):
                await evaluator.ask(b"two", meanwhile=fail)
            theirs.sendall(frame(2, b"2") + frame(3, b"3"))
            third = await evaluator.ask(b"three")
        finally:
            evaluator.kill()

    assert (first, third) == ((b"v", b"1"), (b"v", b"3"))


def frame(number: int, payload: bytes) -> bytes:
    return ANSWER.pack(len(payload), number, b"v") + payload


def garbled(rng: random.Random, frames: list[bytes]) -> bytes:
    """What a liar says: in another order, twice, with another number, torn, or with noise."""
    frames = list(frames)
    at = rng.randrange(len(frames))
    match rng.randrange(6):
        case 0:
            rng.shuffle(frames)
        case 1:
            frames.insert(at, frames[rng.randrange(len(frames))])
        case 2:
            del frames[at]
        case 3:
            frames[at] = frames[at][: rng.randrange(len(frames[at]))]
        case 4:
            frames[at] = rng.randbytes(30)
        case _:
            whole = bytearray(frames[at])
            whole[rng.randrange(4, 12)] ^= 1 << rng.randrange(8)
            frames[at] = bytes(whole)
    return b"".join(frames)


@pytest.mark.parametrize("seed", range(12))
async def test_an_evaluator_that_lies_is_believed_by_nobody(seed: int) -> None:
    """Answers before the lie are their callers' own; after it there are none."""
    rng = random.Random(seed)  # noqa: S311 - the same lies each time
    told: dict[int, object] = {}
    numbers = count(1)

    async def one(evaluator: Evaluator) -> None:
        number = next(numbers)  # its question's, for none other is asked in between
        try:
            told[number] = await evaluator.ask(b"%d" % number)
        except (EvaluatorLostError, PdpTimeoutError, PdpUnavailableError) as err:
            told[number] = type(err)

    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", "input()"]
    with theirs, subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        evaluator = Evaluator(process, ours, Limits(deadline_seconds=1, memory_bytes=1))
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(one, evaluator)
                with anyio.fail_after(WAIT_SECONDS):
                    while evaluator.waiting < 8:  # noqa: ASYNC110 - no event from inside
                        await anyio.sleep(0.001)
                theirs.sendall(garbled(rng, [frame(n, b"%d" % n) for n in range(1, 9)]))
        finally:
            evaluator.kill()

    assert len(told) == 8
    assert all(answer in ((b"v", b"%d" % n), *ERRORS) for n, answer in told.items())
    assert any(answer in ERRORS for answer in told.values())
    assert evaluator.is_lost


ERRORS = (EvaluatorLostError, PdpTimeoutError, PdpUnavailableError)
