"""The protocol between broker and evaluator, with either end talking nonsense."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import orjson
import pytest
from effort import tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rego_samples import SAMPLE

from permissions.errors import PdpTimeoutError, PdpUnavailableError
from permissions.pdp.embedded import lateness
from permissions.pdp.embedded.frames import ANSWER, QUESTION
from permissions.pdp.embedded.process import Evaluator, Limits
from permissions.pdp.embedded.start import start_evaluator
from permissions.pdp.linker.linked import LinkedBundle

if TYPE_CHECKING:
    from collections.abc import Iterator

HASTY = Limits(deadline_seconds=0.2, memory_bytes=512 * 1024 * 1024)
PATIENT = replace(HASTY, deadline_seconds=20)


@contextmanager
def sleeper(limits: Limits = PATIENT) -> Iterator[tuple[Evaluator, socket.socket]]:
    """An evaluator whose process does nothing, and the socket on which to answer for it."""
    ours, theirs = socket.socketpair()
    with (
        theirs,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as p,
    ):
        evaluator = Evaluator(p, ours, limits)
        try:
            yield evaluator, theirs
        finally:
            evaluator.kill()


@contextmanager
def spinner(limits: Limits) -> Iterator[tuple[Evaluator, socket.socket]]:
    """An evaluator whose process never stops, and the socket on which to answer for it."""
    ours, theirs = socket.socketpair()
    spin = [sys.executable, "-Sc", "while True: pass"]
    with theirs, subprocess.Popen(spin) as process:
        evaluator = Evaluator(process, ours, limits)
        try:
            yield evaluator, theirs
        finally:
            evaluator.kill()


@contextmanager
def without_a_processor(pid: int) -> Iterator[None]:
    """A process has its processor only when another leaves it, which does not."""
    core = min(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-Sc", "while True: pass"]) as hog:
        try:
            for each in (hog.pid, pid):
                os.sched_setaffinity(each, {core})
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            yield
        finally:
            hog.kill()


def answer(number: int, payload: bytes = b"{}", kind: bytes = b"v") -> bytes:
    return ANSWER.pack(len(payload), number, kind) + payload


async def test_an_answer_already_there_is_taken() -> None:
    with sleeper() as (evaluator, peer):
        peer.sendall(answer(1, b"[1]"))

        assert await evaluator.ask(b"{}") == (b"v", b"[1]")


async def test_an_answer_in_pieces_is_put_together() -> None:
    whole = answer(1, b"[" + b"1," * 100_000 + b"1]")

    async def send(peer: socket.socket) -> None:
        for at in range(0, len(whole), 40_000):
            await anyio.to_thread.run_sync(peer.sendall, whole[at : at + 40_000])
            await anyio.lowlevel.checkpoint()

    with sleeper() as (evaluator, peer):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, peer)
            kind, payload = await evaluator.ask(b"{}")

    assert (kind, payload) == (b"v", whole[ANSWER.size :])


NONSENSE = {
    "an older answer": answer(0),
    "a later answer": answer(2),
    "two answers": answer(1) + answer(1),
    "a length beyond reason": ANSWER.pack(2**32 - 1, 1, b"v"),
}


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_no_answer(data: bytes) -> None:
    with sleeper() as (evaluator, peer):
        peer.sendall(data)

        with pytest.raises(PdpUnavailableError):
            await evaluator.ask(b"{}")


async def test_a_torn_answer_meets_the_deadline() -> None:
    with sleeper(HASTY) as (evaluator, peer):
        peer.sendall(answer(1, b"[1, 2, 3]")[:-2])

        with pytest.raises(PdpTimeoutError):
            await evaluator.ask(b"{}")


@pytest.mark.slow
async def test_one_that_was_given_no_processor_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # This machine may be busy as well, for longer than the product would wait.
    monkeypatch.setattr(lateness, "MOST", 1000)
    with spinner(HASTY) as (evaluator, peer), without_a_processor(evaluator.pid):

        async def late() -> None:
            deadline = HASTY.deadline_seconds
            while evaluator.busy_seconds < 2 * deadline:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
            peer.sendall(answer(1, b"[1]"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late)
            assert await evaluator.ask(b"{}") == (b"v", b"[1]")


@pytest.mark.slow
async def test_one_that_uses_its_deadline_up_or_is_stopped_is_not() -> None:
    with spinner(HASTY) as (evaluator, _), pytest.raises(PdpTimeoutError):
        await evaluator.ask(b"{}")
    with spinner(HASTY) as (evaluator, _):
        os.kill(evaluator.pid, signal.SIGSTOP)
        with pytest.raises(PdpTimeoutError):
            await evaluator.ask(b"{}")


@pytest.mark.parametrize(
    ("elapsed", "used", "runnable", "more"),
    [
        (1.0, 0.25, True, 0.75),  # it had a quarter of its time
        (1.0, 0.25, False, 0.0),
        (1.0, 1.0, True, 0.0),
        (3.9, 0.0, True, 0.1),
        (4.0, 0.0, True, 0.0),  # and here it ends by the clock
        (1.0, 0.9999, True, 0.005),
    ],
)
def test_how_much_longer(elapsed: float, used: float, *, runnable: bool, more: float) -> None:
    found = lateness.more_seconds(deadline=1, elapsed=elapsed, used=used, runnable=runnable)
    assert found == pytest.approx(more)


async def test_a_closed_socket_is_a_death() -> None:
    with sleeper() as (evaluator, peer):
        peer.close()

        with pytest.raises(PdpUnavailableError):
            await evaluator.ask(b"{}")


@settings(max_examples=tries(40), suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_from_an_evaluator_are_never_an_answer(data: bytes) -> None:
    """Unless they happen to be the frame of exactly this question."""

    async def ask() -> None:
        with sleeper() as (evaluator, peer):
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            with pytest.raises((PdpUnavailableError, PdpTimeoutError)):
                await evaluator.ask(b"{}")

    if len(data) < ANSWER.size or ANSWER.unpack_from(data)[1] != 1:
        anyio.run(ask)


async def started() -> Evaluator:
    bundle = orjson.dumps({"modules": {"main.rego": SAMPLE}, "data": {}})
    return await start_evaluator(bundle, LinkedBundle({}), HASTY)


GARBAGE = {
    "no JSON": QUESTION.pack(3, 9) + b"{]!",
    "no UTF-8": QUESTION.pack(2, 9) + b"\xff\xfe",
    "a lone surrogate": QUESTION.pack(14, 9) + b'{"a":"\\ud800"}',
    "an endless nesting": QUESTION.pack(5000, 9) + b"[" * 5000,
    "a length beyond reason": QUESTION.pack(2**32 - 1, 9) + b"{}",
    "half a header": QUESTION.pack(2, 9)[:5],
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_to_an_evaluator_never_permits(data: bytes) -> None:
    """It answers with an error or ends; the parent's check would not have sent this."""
    evaluator = await started()
    try:
        peer = evaluator._peer
        peer.send(data)
        peer.shutdown(socket.SHUT_WR)
        with anyio.fail_after(40):
            await anyio.wait_readable(peer)
        reply = peer.recv(65536)
    finally:
        evaluator.kill()
        evaluator.reap()

    assert reply == b"" or ANSWER.unpack_from(reply)[2] == b"e"


async def test_an_evaluator_whose_parent_is_gone_ends() -> None:
    evaluator = await started()
    evaluator._peer.close()

    with anyio.fail_after(40):
        status = await anyio.to_thread.run_sync(evaluator.reap)

    assert status == 0


async def test_an_endless_question_of_a_lost_parent_ends() -> None:
    """SIGALRM ends it, wherever the engine is."""
    evaluator = await started()
    question = orjson.dumps({"resource": {"id": "loop"}})
    evaluator._peer.send(QUESTION.pack(len(question), 9) + question)
    evaluator._peer.close()

    with anyio.fail_after(40):
        status = await anyio.to_thread.run_sync(evaluator.reap)

    assert status == -14
