"""What happens to sandboxes that wait: killed, orphaned, booby-trapped, never started."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from backends import REPEATED, leftovers
from pools import (
    PROFILE,
    WAIT_SECONDS,
    Faulty,
    belongings,
    code,
    fmean,
    is_over,
    kill,
    restless,
    runners,
    until,
)

from sandbox import (
    CommandJob,
    PythonJob,
    SandboxProfile,
    SandboxProviderError,
)
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.conformance import call
from sandbox.pool.pool import PrewarmedPool

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.oci import OciSandbox


async def test_a_dead_one_is_never_handed_out(pool: PrewarmedPool) -> None:
    """Killed while they wait; the job is run all the same, cold or in one prewarmed since."""
    for process in ("runner", "child"):
        assert await pool.prepare(fmean(), PROFILE)
        prewarmed = pool.metrics.prewarmed
        dying = kill(process)
        assert dying is not None
        # An engine tells later than the kernel; until then nobody could know.
        await until(lambda dying=dying: is_over(dying) and dying not in runners())
        result = await pool.run(fmean(3, 4), PROFILE)

        assert (result.verdict, result.value) == ("ok", 3.5)
        assert not result.enforced["prewarmed"] or pool.metrics.prewarmed > prewarmed


@pytest.mark.bwrap
async def test_a_module_cannot_prepare_a_trap_for_the_runner(
    nimble: PrewarmedPool, tmp_path: Path
) -> None:
    """Code that ran on import changes neither who supervises nor what is reported."""
    source = (
        "import os, sys, threading, time\n"
        "json = sys.modules['json']\n"
        "json.dumps = json.loads = lambda *_, **__: 'trapped'\n"
        "for n in range(3, 64):\n"
        "    try: os.write(n, b'z\\0\\0\\0\\2{}' * 9)\n"
        "    except OSError: pass\n"
        "def f():\n    return 1\n"
    )
    job = PythonJob("tool:f", {}, (code(tmp_path / "code", source),))

    await nimble.prepare(job, PROFILE)
    with suppress(SandboxProviderError):  # when it ended itself before the job came
        result = await nimble.run(job, PROFILE)
        assert result.verdict in {"exit", "raised", "signal"}
        assert result.value is None

    assert (await nimble.run(fmean(1), PROFILE)).value == 1.0


@pytest.mark.parametrize("backend", REPEATED)
@pytest.mark.slow
async def test_two_hundred_jobs_with_faults_leave_nothing(backend: type) -> None:
    """Failed starts, killed waiters, limits, cancellations; six jobs at a time."""
    jobs = 200 if backend is BubblewrapSandbox else 60
    async with backend() as first:
        await first.run(fmean(1), PROFILE)
    before = belongings()
    done: list[str] = []

    async def client(pool: PrewarmedPool, numbers: list[int]) -> None:
        for number in numbers:
            if number % 20 == 7:
                kill("runner" if number % 40 == 7 else "child")
            if number % 25 == 11:
                # The one it got may be the one that another client has just killed.
                with suppress(SandboxProviderError), anyio.move_on_after(0.02 * (number % 7)):
                    await pool.run(CommandJob(("sleep", "30")), PROFILE)
                done.append("cancelled")
                continue
            try:
                if number % 25 == 3:
                    result = await call(pool, "flood", SandboxProfile(output_bytes=10))
                else:
                    result = await pool.run(fmean(number), PROFILE)
                    assert result.value in {number, None}
                done.append(result.verdict)
            except SandboxProviderError:
                done.append("provider")

    async with restless(Faulty(backend())) as pool:
        async with anyio.create_task_group() as clients:
            for start in range(6):
                clients.start_soon(client, pool, list(range(start, jobs, 6)))

    assert len(done) == jobs
    assert done.count("ok") > jobs * 0.7
    assert pool.metrics.failed > 0
    assert pool.metrics.hits > 0
    assert leftovers() == []
    assert not belongings() - before


@pytest.mark.bwrap
async def test_cancelling_at_any_moment_leaves_nothing() -> None:
    """While it fills, hands over, runs and closes."""
    for step in range(16):
        with anyio.move_on_after(step * step * 0.001):
            async with PrewarmedPool(BubblewrapSandbox(), minimum=2) as pool:
                await pool.prepare(fmean(), PROFILE)
                await pool.run(CommandJob(("sleep", "5")), PROFILE)

    assert leftovers() == []


BROKER = """
    import anyio, sys
    from sandbox import PythonJob, SandboxProfile
    from sandbox.backends.bubblewrap import BubblewrapSandbox
    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.oci import OciSandbox
    from sandbox.pool.pool import PrewarmedPool

    async def main():
        known = {kind.name: kind for kind in (DockerSandbox, BubblewrapSandbox, OciSandbox)}
        backend = known[sys.argv[1]]()
        async with PrewarmedPool(backend, minimum=3) as pool:
            await pool.prepare(PythonJob("statistics:fmean"), SandboxProfile())
            print("prewarmed", flush=True)
            await anyio.sleep_forever()

    anyio.run(main)
"""


@pytest.mark.parametrize("backend", REPEATED)
async def test_a_broker_killed_while_some_wait_leaves_nothing(
    backend: type[DockerSandbox | BubblewrapSandbox | OciSandbox],
) -> None:
    """One is prewarmed and more are being started; the next start removes what is left."""
    broker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BROKER), backend.name], stdout=subprocess.PIPE
    )
    assert broker.stdout is not None
    with broker.stdout:
        assert await anyio.to_thread.run_sync(broker.stdout.readline) == b"prewarmed\n"
        broker.kill()
        broker.wait(WAIT_SECONDS)

    async def reaped() -> bool:
        async with backend() as later:
            await later.run(fmean(1), PROFILE)
        return leftovers(broker.pid) == []

    with anyio.fail_after(WAIT_SECONDS):
        while not await reaped():
            await anyio.lowlevel.checkpoint()
