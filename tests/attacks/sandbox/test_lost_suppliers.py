"""The engine goes away, or the broker does: what is reported, and what is left."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import docker
import pytest
from backends import BACKENDS, leftovers
from pools import WAIT_SECONDS, runners, until
from relay import Relay

from sandbox import (
    CommandJob,
    SandboxProfile,
    SandboxProviderError,
    SandboxUnavailableError,
)
from sandbox.backends.bubblewrap import reaper
from sandbox.backends.bubblewrap.reaper import launchers
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.docker.backend import REMOVE_SECONDS, reap
from sandbox.backends.docker.container import KILL_SECONDS
from sandbox.backends.docker.engine import DEFAULT_SOCKET, Engine
from sandbox.backends.docker.options import LEASE_LABEL
from sandbox.backends.oci import OciSandbox
from sandbox.backends.oci import backend as oci
from sandbox.backends.oci.containers import GROUPS, containers
from sandbox.conformance import survivors
from sandbox.conformance.harness import mark_of_ours
from sandbox.isolation import cgroup
from sandbox.isolation.cgroup import remove_named
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.docker
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
# On asyncio, anyio's wait for a socket trips over one that is cancelled as it becomes ready.
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_an_engine_that_dies_in_mid_call_is_a_provider_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's end is unknown and said to be so; when the engine is back, nothing is left."""
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    failures: list[str] = []

    async with anyio.create_task_group() as group:
        relay = Relay(group, path, Path(DEFAULT_SOCKET.removeprefix("unix://")))
        await relay.open()
        async with DockerSandbox() as sandbox:

            async def run() -> None:
                try:
                    await sandbox.run(CommandJob(("sleep", "50")), SandboxProfile())
                except SandboxProviderError as err:
                    failures.append(str(err))  # not the error: its frames hold a socket

            async with anyio.create_task_group() as running:
                running.start_soon(run)
                await until(lambda: "running" in leftovers_here())
                relay.cut()
            await relay.open()
        relay.cut()

    assert len(failures) == 1
    monkeypatch.delenv("DOCKER_HOST")
    assert leftovers() == []
    gc.collect()  # the SDK leaves a socket open when nobody answers: not in the next test


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_an_engine_that_hangs_in_mid_call_costs_neither_answer_nor_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is answered at its own deadline, and the job ends by one inside."""
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    mark = mark_of_ours()
    # A busy machine may need longer to start it; what is tried begins when the job runs.
    monkeypatch.setattr("sandbox.protocol.LEAST_START_SECONDS", 120)

    async with anyio.create_task_group() as group:
        relay = Relay(group, path, Path(DEFAULT_SOCKET.removeprefix("unix://")))
        await relay.open()
        sandbox = DockerSandbox()
        results = []

        async def run() -> None:
            profile = SandboxProfile(wall_seconds=4)
            results.append(await sandbox.run(CommandJob(("sleep", mark)), profile))

        async with anyio.create_task_group() as running:
            running.start_soon(run)
            await until(lambda: bool(survivors(mark)))
            relay.hold()
            began = time.monotonic()
        seconds = time.monotonic() - began
        # Nothing reaches the engine, not even that the caller has gone.
        await until(lambda: not survivors(mark))
        relay.cut()

    assert [result.verdict for result in results] == ["timeout"]
    assert seconds < 4 + KILL_SECONDS + REMOVE_SECONDS + 10
    monkeypatch.delenv("DOCKER_HOST")
    with closing(Engine.connect()) as engine:
        for left in engine.leftovers():
            if f".{os.getpid()}." in left.lease:
                engine.remove(left.id)
    gc.collect()


async def test_an_engine_on_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is mounted from this machine's disk, so it would not be there."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    async with DockerSandbox() as sandbox:
        answer = await sandbox.probe()

        assert not answer.available
        assert "another machine" in answer.missing
        with pytest.raises(SandboxUnavailableError):
            await sandbox.run(CommandJob(("true",)), SandboxProfile())


@pytest.mark.docker
async def test_what_the_engine_does_not_have_is_unavailable() -> None:
    """An image or a runtime that is missing stops the call before anything runs."""
    async with DockerSandbox() as sandbox:
        for profile in (
            SandboxProfile(image="sha256:" + "0" * 64),
            SandboxProfile(runtime="no-such-runtime"),
        ):
            with pytest.raises(SandboxUnavailableError):
                await sandbox.run(CommandJob(("true",)), profile)


@pytest.mark.bwrap
@pytest.mark.parametrize(
    "profile", [SandboxProfile(runtime="runsc"), SandboxProfile(image="sha256:" + "0" * 64)]
)
async def test_bubblewrap_refuses_what_only_containers_have(profile: SandboxProfile) -> None:
    """A stronger boundary that was asked for is never silently left out."""
    backend = BACKENDS[1].values[0]()
    with pytest.raises(SandboxUnavailableError):
        await backend.run(CommandJob(("true",)), profile)


BROKER = """
    import anyio, os, sys
    from sandbox import CommandJob, SandboxProfile
    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.bubblewrap import BubblewrapSandbox
    from sandbox.backends.oci import OciSandbox

    async def main():
        known = {kind.name: kind for kind in (DockerSandbox, BubblewrapSandbox, OciSandbox)}
        backend = known[sys.argv[1]]()
        job = CommandJob(("sh", "-c", "trap '' TERM; setsid sleep " + os.environ["MARK"] + " & wait"))
        await backend.run(job, SandboxProfile(wall_seconds=600))

    anyio.run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bwrap),
        pytest.param("oci", marks=pytest.mark.oci),
    ],
)
async def test_a_killed_broker_leaves_nothing(backend: str) -> None:
    """Kill -9 ends the job too, and the next start removes the empty shell."""
    mark = f"900.{os.getpid():08d}"
    broker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BROKER), backend],
        env={**os.environ, "MARK": mark},
    )
    try:
        await until(lambda: bool(survivors(mark)))
    finally:
        broker.send_signal(signal.SIGKILL)
        broker.wait(WAIT_SECONDS)

    await until(lambda: not survivors(mark))
    if backend == "docker":
        with closing(Engine.connect()) as engine:
            reap(engine)
            assert [
                left for left in engine.leftovers() if f".{broker.pid}." in left.lease
            ] == []
    elif backend == "oci":
        await anyio.to_thread.run_sync(oci.reap)
        assert leftovers(broker.pid) == []
    else:
        await until(lambda: _is_reaped(f".{broker.pid}."))
        assert [name for name in cgroup.groups() if f".{broker.pid}." in name] == []


async def killed_when(backend: str, leases: Callable[[], list[str]]) -> int:
    """The id of a broker that was killed as soon as something had its lease."""
    broker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BROKER), backend],
        env={**os.environ, "MARK": "60"},
    )
    try:
        await until(lambda: any(f".{broker.pid}." in lease for lease in leases()))
    finally:
        broker.kill()
        broker.wait(WAIT_SECONDS)
    return broker.pid


@pytest.mark.slow
@pytest.mark.bwrap
async def test_a_broker_killed_while_it_starts_a_sandbox_leaves_nothing() -> None:
    """The next start ends launchers of the dead owner, also ones that wait for ever."""
    for _ in range(3):
        broker = await killed_when("bubblewrap", lambda: list(launchers().values()))
        mine = f".{broker}."
        await until(lambda mine=mine: _is_reaped(mine))
        assert [name for name in cgroup.groups() if mine in name] == []


@pytest.mark.oci
@pytest.mark.slow
async def test_a_broker_killed_while_it_starts_a_container_leaves_nothing() -> None:
    """Whatever the runtime has done by then, it is undone."""
    for _ in range(3):
        broker = await killed_when("oci", lambda: [left.lease for left in containers()])

        await anyio.to_thread.run_sync(oci.reap)
        assert leftovers(broker) == []


@pytest.mark.oci
async def test_what_the_runtimes_do_not_have_is_unavailable() -> None:
    """Neither a root file system nor a runtime is replaced by another one."""
    async with OciSandbox() as sandbox:
        for profile in (
            SandboxProfile(image="sha256:" + "0" * 64),
            SandboxProfile(runtime="no-such-runtime"),
        ):
            with pytest.raises(SandboxUnavailableError) as caught:
                await sandbox.run(CommandJob(("true",)), profile)
            assert caught.value.remedy
    assert leftovers() == []


@pytest.mark.oci
async def test_a_runtime_that_is_killed_in_mid_call_is_a_provider_error() -> None:
    """The job is dead when it is reported, and nothing of its container is left."""
    mark = f"901.{os.getpid():08d}"
    failures: list[SandboxProviderError] = []
    async with OciSandbox() as sandbox, anyio.create_task_group() as group:

        async def run() -> None:
            try:
                await sandbox.run(CommandJob(("sleep", mark)), SandboxProfile())
            except SandboxProviderError as err:
                failures.append(err)

        group.start_soon(run)
        await until(lambda: bool(survivors(mark)))
        for runner in runners():
            status = Path(f"/proc/{runner}/status").read_text()
            parent = next(line for line in status.splitlines() if line.startswith("PPid"))
            os.kill(int(parent.split()[1]), signal.SIGKILL)
            os.kill(runner, signal.SIGKILL)

    assert len(failures) == 1
    assert survivors(mark) == []
    assert leftovers() == []


@pytest.mark.oci
async def test_a_runtime_that_is_killed_while_it_starts_leaves_no_file() -> None:
    """A crun killed as it makes itself ready has a file it did not come to remove."""
    folder = Path(tempfile.gettempdir())
    before = set(folder.glob("crun.*"))
    async with OciSandbox() as sandbox:
        await sandbox.run(CommandJob(("true",)), SandboxProfile())
        for step in range(100):
            with anyio.move_on_after(0.0001 * (step % 50)):
                await sandbox.run(CommandJob(("true",)), SandboxProfile())

    # Another program's crun has its own for a moment.
    await until(lambda: not set(folder.glob("crun.*")) - before)
    assert leftovers() == []


@pytest.mark.docker
async def test_a_living_owners_sandbox_is_not_reaped() -> None:
    """Two brokers on one engine leave each other alone."""
    async with DockerSandbox() as one, anyio.create_task_group() as group:
        group.start_soon(
            one.run, CommandJob(("sleep", "1000")), SandboxProfile(wall_seconds=600)
        )
        await until(lambda: "running" in leftovers_here())
        async with DockerSandbox() as other:
            await other.run(CommandJob(("true",)), SandboxProfile())

        assert "running" in leftovers_here()
        group.cancel_scope.cancel()


def leftovers_here() -> list[str]:
    """States of this process's containers, asked for past any relay."""
    with closing(docker.APIClient(base_url=DEFAULT_SOCKET, version="auto")) as client:
        listed = client.containers(all=True, filters={"label": LEASE_LABEL})
    mine = f".{os.getpid()}."
    return [entry["State"] for entry in listed if mine in entry["Labels"][LEASE_LABEL]]


def _is_reaped(owner: str) -> bool:
    """One start of a later broker, and whether anything of the dead owner's is left."""
    reaper.reap()
    return not any(owner in text for text in launchers().values())


@pytest.mark.oci
def test_a_group_that_was_busy_when_its_container_went_is_removed_later() -> None:
    """Nothing else knows of it by then; one of a living owner stays."""
    parent = next(
        Path(line.split()[1], GROUPS)
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[2] in ("cgroup", "cgroup2")
    )
    dead = parent / f"{Lease('0', '0', 1, 1, 1)}_wardline-0"
    alive = parent / f"{Lease.of_this_process(wall_seconds=60)}_wardline-0"
    for group in (dead, alive):
        group.mkdir(parents=True)
    try:
        oci.reap()

        assert not dead.exists()
        assert alive.exists()
    finally:
        remove_named(GROUPS, alive.name)
    assert not alive.exists()
    assert parent.exists()  # a runtime that starts now may be about to make a group in it
