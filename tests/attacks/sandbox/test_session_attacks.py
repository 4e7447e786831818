"""What happens to sessions: killed between calls, orphaned, cancelled at any moment."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from backends import REPEATED, leftovers
from pools import PROFILE, WAIT_SECONDS, belongings, kill, runners, until

from sandbox import (
    SandboxError,
    SandboxProfile,
    SandboxSession,
    SessionEndedError,
    SessionLimits,
)
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.conformance import call, survivors
from sandbox.conformance.harness import mark_of_ours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox import Sandbox
    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.oci import OciSandbox


@pytest.mark.parametrize("process", ["runner", "child"])
async def test_one_killed_between_two_calls_is_told_and_not_replaced(
    sandbox: Sandbox, process: str
) -> None:
    """The next call does not run in an empty sandbox as if nothing had been."""
    async with SandboxSession(sandbox, PROFILE) as session:
        await session.evaluate("x = 1")
        assert kill(process)
        await until(lambda: not runners())

        for _ in range(2):
            with pytest.raises(SessionEndedError, match="its sandbox is gone"):
                await session.evaluate("x")

    assert leftovers() == []


async def test_one_killed_in_a_call_is_no_answer(sandbox: Sandbox) -> None:
    """Neither the call nor a later one gives a value."""
    mark = mark_of_ours()
    async with SandboxSession(sandbox, PROFILE) as session:
        await session.evaluate("import subprocess")
        ends: list[str] = []

        async def ask() -> None:
            try:
                ends.append(
                    (await session.evaluate(f"subprocess.run(['sleep', '{mark}'])")).verdict
                )
            except SandboxError as err:
                ends.append(type(err).__name__)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await until(lambda: bool(survivors(mark)))
            assert kill("runner")
        with pytest.raises(SessionEndedError):
            await session.evaluate("x")

    assert ends in (["SandboxProviderError"], ["oom"])
    assert survivors(mark) == []
    assert leftovers() == []


@pytest.mark.bwrap
async def test_a_hostile_call_does_not_reach_another_session() -> None:
    """Its forgeries, floods and signals are met by its own session alone."""
    attacks = (
        "import os; os.kill(-1, 9)",
        "import os; [os.write(n, b'9\\n{}') for n in range(3, 9)]",
        "import os\nwhile True: os.fork()",
        "import os, shutil; shutil.rmtree('/box/out'); os.symlink('/', '/box/out')",
        "import sys; sys.modules['json'].dumps = lambda *_, **__: 'x'",
        "import os; os.write(4, b'x')",
        "import os; os.close(3); os.close(4)",
        "import signal, os; signal.signal(signal.SIGCONT, lambda *_: os.write(3, b'2\\n{}'))",
    )
    profile = SandboxProfile(wall_seconds=5, processes=16)
    async with (
        BubblewrapSandbox() as backend,
        SandboxSession(backend, PROFILE) as neighbour,
    ):
        await neighbour.evaluate("x = 0")
        for number, attack in enumerate(attacks):
            async with SandboxSession(backend, profile) as hostile:
                for code in (attack, "1", "2"):
                    try:
                        result = await hostile.evaluate(code)
                        assert result.enforced["session"] == hostile.id
                    except SandboxError:
                        break
            same = await neighbour.evaluate("x += 1; x")
            assert (same.value, same.enforced["call"]) == (number + 1, number + 2)

    assert leftovers() == []


@pytest.mark.bwrap
async def test_closing_in_the_middle_of_a_call_ends_it() -> None:
    """The owner need not wait for what hangs in there."""
    mark = mark_of_ours()
    async with BubblewrapSandbox() as backend:
        session = SandboxSession(backend, PROFILE)
        await session.evaluate("import subprocess")
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                with pytest.raises(SandboxError):
                    await session.evaluate(f"subprocess.run(['sleep', '{mark}'])")

            group.start_soon(ask)
            await until(lambda: bool(survivors(mark)))
            await session.aclose()
            assert survivors(mark) == []
        with pytest.raises(SessionEndedError, match="it was closed"):
            await session.evaluate("1")

    assert leftovers() == []


@pytest.mark.bwrap
async def test_cancelling_at_any_moment_leaves_nothing() -> None:
    """While it starts, is asked, answers, and closes."""
    async with BubblewrapSandbox() as backend:
        for step in range(16):
            with anyio.move_on_after(step * step * 0.002):
                async with SandboxSession(backend, PROFILE) as session:
                    for _ in range(20):
                        await session.evaluate("print('x' * 1000)")

        assert leftovers() == []


@pytest.mark.parametrize("backend", REPEATED)
@pytest.mark.slow
async def test_many_sessions_with_faults_leave_nothing(backend: type) -> None:
    """Killed, cancelled, flooded, spent, and three at a time."""
    count = 30 if backend is BubblewrapSandbox else 9
    async with backend() as first:
        await call(first, "echo")
    before = belongings()
    ends: list[str] = []

    async def client(sandbox: Sandbox, numbers: Iterable[int]) -> None:
        for number in numbers:
            session = SandboxSession(sandbox, PROFILE, limits=SessionLimits(calls=4))
            async with session:
                with anyio.move_on_after(0.3 if number % 5 == 3 else WAIT_SECONDS):
                    try:
                        for step in range(6):
                            if number % 5 == 1 and step == 2:
                                kill("child")
                            flood = number % 5 == 2 and step == 2
                            code = "print('x' * 10**7)" if flood else f"{step}"
                            result = await session.evaluate(code)
                            assert flood or result.value in {step, None}
                    except SandboxError:
                        pass
                ends.append(session.ended or "open")

    async with backend() as sandbox:
        async with anyio.create_task_group() as group:
            for start in range(3):
                group.start_soon(client, sandbox, range(start, count, 3))
        await client(sandbox, (0, 2))  # nobody kills these: the child hit is whoever's is there

        assert leftovers() == []
    assert len(ends) == count + 2
    assert "it had its 4 calls" in ends
    assert "call 3 ended as output" in ends
    assert not belongings() - before


OWNER = """
    import anyio, sys
    from sandbox import SandboxProfile, SandboxSession
    from sandbox.backends.bubblewrap import BubblewrapSandbox
    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.oci import OciSandbox

    async def main():
        known = {kind.name: kind for kind in (DockerSandbox, BubblewrapSandbox, OciSandbox)}
        backend = known[sys.argv[1]]()
        session = SandboxSession(backend, SandboxProfile())
        await session.evaluate(f"import subprocess; subprocess.Popen(['sleep', '{sys.argv[2]}'])")
        print("kept", flush=True)
        if sys.argv[3] == "in a call":
            await session.evaluate("import time; time.sleep(1000)")
        await anyio.sleep_forever()

    anyio.run(main)
"""


@pytest.mark.parametrize("moment", ["in a call", "between calls"])
@pytest.mark.parametrize("backend", REPEATED)
async def test_an_owner_killed_with_a_session_open_leaves_nothing(
    backend: type[DockerSandbox | BubblewrapSandbox | OciSandbox], moment: str
) -> None:
    """Process 1 meets the end of its channel; the next start removes what is left."""
    mark = mark_of_ours()
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), backend.name, mark, moment],
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    with owner.stdout:
        assert await anyio.to_thread.run_sync(owner.stdout.readline) == b"kept\n"
        assert survivors(mark)
        owner.kill()
        owner.wait(WAIT_SECONDS)

    async def reaped() -> bool:
        async with backend() as later:
            await call(later, "echo")
        return leftovers(owner.pid) == [] and survivors(mark) == []

    with anyio.fail_after(WAIT_SECONDS):
        while not await reaped():
            await anyio.lowlevel.checkpoint()
