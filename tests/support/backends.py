"""Real sandbox backends for tests, and what must not be left of them."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from sandbox.backends.bubblewrap import BubblewrapSandbox, reaper
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.docker.engine import Engine
from sandbox.backends.docker.image import built_image
from sandbox.backends.oci import OciSandbox, roots
from sandbox.backends.oci.containers import containers
from sandbox.backends.oci.runtimes import KERNEL_RUNTIME
from sandbox.backends.vm_kernel import KernelSandbox
from sandbox.errors import SandboxUnavailableError
from sandbox.isolation import cgroup
from sandbox.preparation import prepare_default

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox import Sandbox

BACKENDS = [
    pytest.param(DockerSandbox, id="docker", marks=pytest.mark.docker),
    pytest.param(BubblewrapSandbox, id="bubblewrap", marks=pytest.mark.bwrap),
    pytest.param(OciSandbox, id="oci", marks=pytest.mark.oci),
]

REPEATED = [
    pytest.param(DockerSandbox, id="docker", marks=[pytest.mark.docker, pytest.mark.slow]),
    pytest.param(BubblewrapSandbox, id="bubblewrap", marks=pytest.mark.bwrap),
    pytest.param(OciSandbox, id="oci", marks=[pytest.mark.oci, pytest.mark.slow]),
]
"""For what every backend has to pass once more: bubblewrap always, the others in the full run."""


class OnGvisor(KernelSandbox):
    """Jobs on gVisor's kernel, over a backend that is closed with it."""

    def __init__(self, backend: Sandbox) -> None:
        super().__init__(backend, KERNEL_RUNTIME)
        self.backend = backend

    async def aclose(self) -> None:
        """As the backend's own."""
        await self.backend.aclose()


ON_GVISOR = [
    pytest.param(
        lambda: OnGvisor(OciSandbox()),
        id="oci-gvisor",
        marks=[pytest.mark.gvisor, pytest.mark.slow],
    ),
    pytest.param(
        lambda: OnGvisor(DockerSandbox()),
        id="docker-gvisor",
        marks=[pytest.mark.gvisor_engine, pytest.mark.slow],
    ),
]


@pytest.fixture(params=BACKENDS)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Each backend in turn, opened and closed."""
    async with request.param() as opened:
        yield opened


def build_missing_image(session: pytest.Session) -> None:
    """Makes ready what the tests start from, outside the time of the first that needs it."""
    if session.config.option.collectonly:
        return
    needs = {mark.name for item in session.items for mark in item.iter_markers()}
    # Without an engine or a runtime those tests are skipped, or fail with `--require`.
    with suppress(SandboxUnavailableError):
        engine, runtime = needs & {"docker", "gvisor_engine"}, needs & {"oci", "gvisor"}
        if (engine and not _has_image()) or (runtime and not _has_root()):
            prepare_default(lambda _: None)


def _has_image() -> bool:
    """Also where there is no engine, which could not have one."""
    try:
        with closing(Engine.connect()) as engine:
            return built_image(engine) is not None
    except SandboxUnavailableError:
        return True


def _has_root() -> bool:
    try:
        roots.find(None)
    except SandboxUnavailableError:
        return False
    return True


def leftovers(owner: int | None = None) -> list[str]:
    """Containers, control groups and launchers that this process, or another one, left."""
    mine = f".{owner or os.getpid()}."
    found = [f"group {name}" for name in cgroup.groups() if mine in name]
    found += [f"launcher {pid}" for pid, lease in reaper.launchers().items() if mine in lease]
    found += [f"container {left.name}" for left in containers() if mine in left.lease]
    try:
        engine = Engine.connect()
    except SandboxUnavailableError:
        return found
    with closing(engine):
        found += [
            f"container {left.id[:12]} {left.state}"
            for left in engine.leftovers()
            if mine in left.lease
        ]
    return found
