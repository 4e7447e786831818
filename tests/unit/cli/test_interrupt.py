"""A command that waits for ever ends by Ctrl-C, whenever and wherever the signal arrives."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROUNDS = 150
SECONDS = 120
"""For all rounds on a busy machine; a lost signal would wait for ever."""

PROGRAM = f"""
import os, random, signal, sys, threading, time
import anyio
from permissions.cli import interrupt

random.seed(5)
never = threading.Event()
bystander = threading.Thread(target=never.wait, daemon=True)
bystander.start()
to_a_bystander = sys.argv[1] == "another-thread"


def strike():
    time.sleep(random.random() * 0.004)
    if to_a_bystander:
        signal.pthread_kill(bystander.ident, signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)


async def wait_for_ever():
    threading.Thread(target=strike).start()
    await anyio.sleep_forever()


for _ in range({ROUNDS}):
    try:
        interrupt.run(wait_for_ever)
    except KeyboardInterrupt:
        continue
    sys.exit("not interrupted")
print("each one ended")
"""


@pytest.mark.parametrize("target", ["another-thread", "the-process"])
def test_each_interrupt_ends_the_wait(target: str) -> None:
    """The kernel may hand a signal to a thread that the event loop does not run in."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, target],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "each one ended\n"), done.stderr


RESULTS = """
import sys
import typer
from permissions.cli import interrupt


async def answer():
    return 42


async def leave():
    raise typer.Exit(3)


print(interrupt.run(answer))
try:
    interrupt.run(leave)
except typer.Exit as ended:
    sys.exit(ended.exit_code)
"""


def test_results_and_errors_come_out_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESULTS],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (3, "42\n"), done.stderr
