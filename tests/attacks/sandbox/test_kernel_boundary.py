"""A kernel of its own: asked for by name, never replaced by the host's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sandbox import CommandJob, SandboxProfile, SandboxUnavailableError
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.oci import OciSandbox
from sandbox.backends.vm_kernel import (
    KernelSandbox,
    is_other_kernel,
    kernel_runtime,
    refused_runtimes,
)


@pytest.mark.parametrize(
    ("facts", "runtime"),
    [
        ({}, None),
        ({"kernel_runtimes": ["runc", "io.containerd.runc.v2"]}, None),
        ({"kernel_runtimes": "runsc"}, None),
        ({"runtimes": ["runc", "runsc"]}, None),
        ({"kernel_runtimes": ["runc", "runsc"]}, "runsc"),
        ({"kernel_runtimes": ["kata", "runc"]}, "kata"),
    ],
)
def test_only_a_runtime_with_its_own_kernel_counts(
    facts: dict[str, object], runtime: str | None
) -> None:
    assert kernel_runtime(facts) == runtime


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({}, {}),
        ({"runtimes_refused": {"crun": "old"}}, {}),
        ({"runtimes_refused": {"runsc": "no", "crun": "old"}}, {"runsc": "no"}),
        ({"runtimes_refused": ["runsc"]}, {}),
    ],
)
def test_a_runtime_that_gives_no_kernel_is_told_with_why(
    facts: dict[str, object], refused: dict[str, str]
) -> None:
    assert refused_runtimes(facts) == refused


HERE = Path("/proc/sys/kernel/random/boot_id").read_bytes(), Path("/proc/version").read_bytes()
OTHER = b"0" * 8 + b"-0000" * 3 + b"-" + b"0" * 12 + b"\n"


@pytest.mark.parametrize(
    ("printed", "is_other"),
    [
        (b"".join(HERE), False),
        (HERE[0] + b"Linux version 4.4.0 another\n", False),
        (HERE[1], False),
        (b"", False),
        (b"anything\n", False),
        (OTHER + HERE[1], True),
        (b"Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n", True),
    ],
    ids=["same", "same boot", "same version", "nothing", "no kernel", "virtual", "gVisor"],
)
def test_a_kernel_is_another_one_by_what_it_says(printed: bytes, *, is_other: bool) -> None:
    assert is_other_kernel(printed) is is_other


@pytest.mark.oci
@pytest.mark.skipif(os.geteuid() != 0, reason="an OCI runtime needs uid 0")
async def test_a_name_is_no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `runsc` on PATH that starts containers on the host's kernel is refused, with why."""
    crun = shutil.which("crun") or shutil.which("runc")
    impostor = tmp_path / "runsc"
    impostor.write_text(
        '#!/bin/sh\nfor each; do case "$each" in\n'
        '--version) echo "runsc version release-20990101.0"; exit;;\n'
        "--ignore-cgroups|--network=none) shift;; esac; done\n"
        f'exec {crun} "$@"\n'
    )
    impostor.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    async with OciSandbox() as sandbox:
        answer = await sandbox.probe()
        with pytest.raises(SandboxUnavailableError, match="host's own kernel"):
            await sandbox.run(CommandJob(("true",)), SandboxProfile(runtime="runsc"))

    assert answer.available
    assert kernel_runtime(answer.facts) is None


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
