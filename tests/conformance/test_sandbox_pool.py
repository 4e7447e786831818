"""A pool keeps the contract of what it pools, prewarmed or not, and loses no rule on the way."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from backends import BACKENDS, ON_GVISOR, REPEATED, leftovers
from pools import PROFILE, code, fmean, until

from sandbox import PythonJob, Sandbox, SandboxError, SandboxProfile
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.conformance import CHECKS
from sandbox.conformance.harness import probe_code
from sandbox.network.rules import Egress, EgressRule
from sandbox.pool.pool import PrewarmedPool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sandbox import (
        Availability,
        ExecResult,
        Job,
        RunRequest,
        StartedSandbox,
    )

pytestmark = pytest.mark.slow


class Prepared(Sandbox):
    """A pool whose every job finds a sandbox prewarmed for it."""

    def __init__(self, pool: PrewarmedPool) -> None:
        self.name = pool.name
        self.isolation = pool.isolation
        self._pool = pool

    async def probe(self) -> Availability:
        return await self._pool.probe()

    async def start(self, request: RunRequest) -> StartedSandbox:
        return await self._pool.start(request)

    async def run(self, job: Job, profile: SandboxProfile, **more: Any) -> ExecResult:
        prepared = await self._pool.prepare(job, profile)
        result = await self._pool.run(job, profile, **more)
        assert result.enforced["prewarmed"] or not prepared
        return result

    async def aclose(self) -> None:
        await self._pool.aclose()


@pytest.mark.parametrize("pool", REPEATED, indirect=True)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
async def test_conforms(
    pool: PrewarmedPool, check: Callable[[Sandbox], Awaitable[None]]
) -> None:
    """Each check of the contract, with a sandbox prewarmed beforehand for each of its jobs."""
    await check(Prepared(pool))

    if check.__name__ != "forbidden_file_names_are_refused_before_anything_runs":
        assert pool.metrics.hits


@pytest.mark.parametrize("pool", [*BACKENDS, *ON_GVISOR], indirect=True)
async def test_the_first_job_is_cold_and_the_next_prewarmed(pool: PrewarmedPool) -> None:
    """The record says which; the values are the same."""
    first = await pool.run(fmean(1, 2), PROFILE)
    assert await pool.prepare(fmean(), PROFILE)
    second = await pool.run(fmean(1, 2), PROFILE)

    assert (first.value, second.value) == (1.5, 1.5)
    assert (first.enforced["prewarmed"], second.enforced["prewarmed"]) == (False, True)
    same = dict.fromkeys(("prewarmed",))
    assert {**first.enforced, **same} == {**second.enforced, **same}
    assert (pool.metrics.hits, pool.metrics.misses) == (1, 1)


@pytest.mark.parametrize("pool", [*BACKENDS, *ON_GVISOR], indirect=True)
async def test_nothing_of_one_job_is_there_for_the_next(pool: PrewarmedPool) -> None:
    """Files, processes, variables and loaded modules of ten jobs, each in a prewarmed sandbox."""
    found = []
    for _ in range(10):
        job = PythonJob("wardline_attempts:leave_state", {}, (probe_code(),))
        assert await pool.prepare(job, PROFILE)
        found.append((await pool.run(job, PROFILE)).value)

    assert found == [[]] * 10
    assert pool.metrics.hits == 10


async def test_a_prewarmed_sandbox_serves_any_source(pool: PrewarmedPool) -> None:
    """It was prewarmed before the text was known, and with what the text will import."""
    first = PythonJob("f", source="def f():\n    return 1\n", preload=("statistics",))
    assert await pool.prepare(first, PROFILE)
    source = "import statistics\ndef g(x):\n    return statistics.fmean(x)\n"

    result = await pool.run(
        PythonJob("g", {"x": [1, 2]}, source=source, preload=("statistics",)), PROFILE
    )

    assert (result.value, result.enforced["prewarmed"]) == (1.5, True)


CHANGES: dict[str, Any] = {
    "memory_bytes": 64 * 2**20,
    "processes": 32,
    "cpus": 0.5,
    "cpu_seconds": 3,
    "open_files": 99,
    "work_bytes": 2**20,
    "tmp_bytes": 2**20,
    "files": 100,
    "output_bytes": 1000,
    "value_bytes": 1000,
    "files_out_bytes": 1000,
    "wall_seconds": 5.0,
    "environment": {"MARK": "1"},
}


@pytest.mark.bwrap
@pytest.mark.parametrize("name", CHANGES)
async def test_a_job_with_another_profile_is_not_served(
    nimble: PrewarmedPool, name: str
) -> None:
    """No single rule of a profile may differ from that of the sandbox that waits."""
    assert await nimble.prepare(fmean(), PROFILE)
    profile = SandboxProfile(**{name: CHANGES[name]})

    result = await nimble.run(fmean(1), profile)

    assert not result.enforced["prewarmed"]
    assert result.enforced["profile"] == profile.digest
    assert nimble.metrics.hits == 0


@pytest.mark.bwrap
async def test_a_job_with_other_code_is_not_served(
    nimble: PrewarmedPool, tmp_path: Path
) -> None:
    """Neither from another folder, nor from one that was changed or replaced meanwhile."""
    root = code(tmp_path / "code", "def f():\n    return 1\n")
    job = PythonJob("tool:f", {}, (root,))
    assert await nimble.prepare(job, PROFILE)

    root.rename(tmp_path / "old")
    code(root, "def f():\n    return 2\n")
    replaced = await nimble.run(job, PROFILE)
    other = await nimble.run(PythonJob("tool:f", {}, (tmp_path / "old",)), PROFILE)

    assert (replaced.value, replaced.enforced["prewarmed"]) == (2, False)
    assert (other.value, other.enforced["prewarmed"]) == (1, False)


@pytest.mark.bwrap
@pytest.mark.parametrize(
    "profile",
    [
        SandboxProfile(network=Egress(allow=(EgressRule(host="example.org"),))),
        SandboxProfile(secret_files={"token": "secret://token"}),
    ],
    ids=["egress", "secret file"],
)
async def test_what_is_opened_for_one_run_never_waits(
    nimble: PrewarmedPool, profile: SandboxProfile
) -> None:
    """Neither is it prewarmed, nor is a job that needs it served by one that lacks it."""
    assert await nimble.prepare(fmean(), PROFILE)
    prepared = await nimble.prepare(fmean(), profile)
    with suppress(SandboxError):
        await nimble.run(fmean(1), profile)

    assert not prepared
    assert (nimble.metrics.hits, nimble.metrics.waiting) == (0, 1)


def test_every_rule_of_a_profile_has_its_case() -> None:
    """A new limit must be given to the test above; the rest is in the same digest."""
    assert {*PROFILE.document()["limits"], "environment"} == set(CHANGES)


@pytest.mark.bwrap
@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        ("import os; os._exit(3)", "exit"),
        ("raise RuntimeError('no')", "raised"),
        ("raise SystemExit(4)", "exit"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal"),
        ("print('x' * 100, end='')\ndef f():\n    return 1", "ok"),
    ],
    ids=["leaves", "raises", "exits", "is killed", "prints"],
)
async def test_what_a_module_does_on_import_is_the_jobs_to_tell(
    nimble: PrewarmedPool, tmp_path: Path, source: str, verdict: str
) -> None:
    """Prewarmed or not, the verdict is that of a cold run."""
    job = PythonJob("tool:f", {}, (code(tmp_path / "code", source),))

    await nimble.prepare(job, PROFILE)
    result = await nimble.run(job, PROFILE)

    assert result.verdict == verdict
    assert len(result.stdout) == (100 if verdict == "ok" else 0)


@pytest.mark.bwrap
async def test_a_large_job_goes_through_a_pipe(nimble: PrewarmedPool) -> None:
    """More than a pipe holds, and more than the disk of the sandbox."""
    profile = SandboxProfile(work_bytes=65536, tmp_bytes=65536)
    job = fmean(*range(100_000))
    assert await nimble.prepare(job, profile)

    result = await nimble.run(job, profile)

    assert (result.value, result.enforced["prewarmed"]) == (49_999.5, True)


@pytest.mark.bwrap
async def test_it_reports_what_it_keeps_and_replaces_what_is_old(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Age, by a clock of the test's own."""
    caplog.set_level("INFO", "sandbox.pool")
    now = [0.0]
    async with PrewarmedPool(
        BubblewrapSandbox(), minimum=2, lifetime_seconds=50, clock=lambda: now[0]
    ) as pool:
        await pool.prepare(fmean(), PROFILE)
        await until(lambda: pool.metrics.waiting == 2)
        now[0] = 50.0
        result = await pool.run(fmean(1), PROFILE)
        await until(lambda: pool.metrics.prewarmed == 4 and pool.metrics.waiting == 2)

        assert not result.enforced["prewarmed"]
        assert pool.metrics.discarded == 2
        assert pool.metrics.refill_seconds is not None
    assert pool.metrics.waiting == 0
    assert "event=sandbox_pool backend=bubblewrap waiting=2 hits=0 misses=1" in caplog.text
    assert leftovers() == []


@pytest.mark.bwrap
async def test_a_closed_pool_runs_nothing_prewarmed() -> None:
    """Also one that was never opened: without its keeper nothing would be removed."""
    pool = PrewarmedPool(BubblewrapSandbox())
    before = await pool.run(fmean(1), PROFILE)
    async with pool:
        assert await pool.prepare(fmean(), PROFILE)
    after = await pool.run(fmean(1), PROFILE)
    await pool.aclose()

    assert not before.enforced["prewarmed"]
    assert not after.enforced["prewarmed"]
    assert leftovers() == []


@pytest.mark.bwrap
async def test_a_living_owners_prewarmed_ones_are_not_reaped(nimble: PrewarmedPool) -> None:
    """Another broker's start looks for what dead ones left, and leaves these alone."""
    assert await nimble.prepare(fmean(), PROFILE)
    async with BubblewrapSandbox() as other:
        await other.run(fmean(1), PROFILE)

    assert (await nimble.run(fmean(1), PROFILE)).enforced["prewarmed"]
