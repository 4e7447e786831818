"""A kernel of its own: asked for by name, never replaced by the host's."""

from __future__ import annotations

import pytest

from sandbox import CommandJob, SandboxProfile, SandboxUnavailableError
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.vm_kernel import KernelSandbox, kernel_runtime


@pytest.mark.parametrize(
    ("facts", "runtime"),
    [
        ({}, None),
        ({"runtimes": ["runc", "io.containerd.runc.v2"]}, None),
        ({"runtimes": "runsc"}, None),
        ({"runtimes": ["runc", "runsc"]}, "runsc"),
        ({"runtimes": ["kata", "runc"]}, "kata"),
    ],
)
def test_only_a_runtime_with_its_own_kernel_counts(
    facts: dict[str, object], runtime: str | None
) -> None:
    assert kernel_runtime(facts) == runtime


@pytest.mark.docker
async def test_a_runtime_on_the_hosts_kernel_is_refused() -> None:
    """Whether the backend or the profile names it."""
    async with DockerSandbox() as engine:
        for sandbox, profile in (
            (KernelSandbox(engine, "runc"), SandboxProfile()),
            (KernelSandbox(engine, "runsc"), SandboxProfile(runtime="runc")),
        ):
            with pytest.raises(SandboxUnavailableError, match="host's kernel"):
                await sandbox.run(CommandJob(("true",)), profile)


@pytest.mark.docker
async def test_a_job_runs_on_the_other_kernel_or_not_at_all() -> None:
    """Where the engine has such a runtime, the record says so; elsewhere nothing runs."""
    async with DockerSandbox() as engine:
        runtime = kernel_runtime((await engine.probe()).facts)
        sandbox = KernelSandbox(engine, runtime or "runsc")
        job = CommandJob(("uname", "-v"))
        if runtime is None:
            with pytest.raises(SandboxUnavailableError, match="no runtime"):
                await sandbox.run(job, SandboxProfile())
            return
        here = await engine.run(job, SandboxProfile())
        there = await sandbox.run(job, SandboxProfile())

    assert (here.enforced["isolation"], there.enforced["isolation"]) == ("container", "kernel")
    assert here.stdout != there.stdout
