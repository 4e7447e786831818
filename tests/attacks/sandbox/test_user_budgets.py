"""What the kernel counts by user: a job that takes all it gets leaves the others theirs."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

import anyio
import pytest
from backends import REPEATED

from sandbox import PythonJob, SandboxProfile

if TYPE_CHECKING:
    from sandbox import Sandbox

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only uid 0 has a user for each")

HOG = '''
import ctypes, errno, fcntl, os, signal, time
libc = ctypes.CDLL(None, use_errno=True)

def inotify():
    held = []
    while (number := libc.inotify_init1(0)) >= 0:
        held.append(number)
    return len(held)

def signals():
    """Queued and never taken, then timers, each of which takes one slot of the queue."""
    signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 64))
    sent = 0
    while libc.sigqueue(os.getpid(), 40, 1) == 0 and sent < 500_000:
        sent += 1
    while libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())) == 0 and sent < 500_000:
        sent += 1
    return sent

def queues():
    held = 0
    while libc.mq_open(b"/q%d" % held, os.O_CREAT | os.O_RDWR, 0o600, None) >= 0:
        held += 1
    return held

def pipes():
    """As large as they may be, until the kernel gives small ones."""
    held = 0
    try:
        while True:
            near, far = os.pipe()
            fcntl.fcntl(near, 1031, 1 << 20)
            held += 1
    except OSError:
        return held

def terminals():
    held = 0
    try:
        while held < 5000:
            os.openpty()
            held += 1
    except OSError:
        return held
    return held

def take(kind):
    print(globals()[kind](), flush=True)
    time.sleep(20)

def one(kind):
    if kind == "inotify":
        return libc.inotify_init1(0) >= 0
    if kind == "signals":
        return libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())) == 0
    if kind == "queues":
        return libc.mq_open(b"/own", os.O_CREAT | os.O_RDWR, 0o600, None) >= 0
    if kind == "pipes":
        near, far = os.pipe()
        return fcntl.fcntl(near, 1032) >= 65536
    try:
        return bool(os.openpty())
    except OSError:
        return False
'''
KINDS = ("inotify", "signals", "queues", "pipes", "terminals")
WIDE = SandboxProfile(open_files=4096, wall_seconds=40)


def host_can_watch() -> bool:
    number = ctypes.CDLL(None).inotify_init1(os.O_CLOEXEC)
    if number >= 0:
        os.close(number)
    return number >= 0


async def one(sandbox: Sandbox, kind: str) -> object:
    result = await sandbox.run(PythonJob("one", {"kind": kind}, source=HOG), SandboxProfile())
    assert result.verdict == "ok", result
    return result.value


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", REPEATED, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
async def test_who_takes_all_leaves_others_theirs(sandbox: Sandbox, kind: str) -> None:
    """What another sandbox gets is the same before and meanwhile."""
    before = await one(sandbox, kind)
    request = PythonJob("take", {"kind": kind}, source=HOG)
    async with anyio.create_task_group() as group:
        group.start_soon(sandbox.run, request, WIDE)
        # A hog that was not there yet would prove nothing: several looks, none may differ.
        for _ in range(4):
            await anyio.sleep(1)
            assert await one(sandbox, kind) == before
            assert host_can_watch()
        group.cancel_scope.cancel()


@pytest.mark.parametrize(("kind", "most"), [("inotify", 0), ("queues", 0), ("signals", 256)])
async def test_a_budget_of_a_user_is_a_limit(sandbox: Sandbox, kind: str, most: int) -> None:
    """None of it is the host's to lose, and no job has more than it can need."""
    result = await sandbox.run(PythonJob(kind, {}, source=HOG), SandboxProfile(open_files=4096))

    assert result.verdict == "ok", result
    assert result.value <= most


async def test_there_are_no_terminals_to_take(sandbox: Sandbox) -> None:
    """The kernel has a few thousand, for all of the machine."""
    result = await sandbox.run(PythonJob("terminals", {}, source=HOG), SandboxProfile())

    assert (result.verdict, result.value) == ("ok", 0)
