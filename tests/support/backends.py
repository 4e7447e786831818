"""Real sandbox backends for tests, and what must not be left of them."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sandbox import cgroup
from sandbox.bubblewrap import BubblewrapSandbox, reaper
from sandbox.docker import DockerSandbox
from sandbox.docker.engine import Engine
from sandbox.docker.image import build_image, default_image
from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox import Sandbox

BACKENDS = [
    pytest.param(DockerSandbox, id="docker", marks=pytest.mark.docker),
    pytest.param(BubblewrapSandbox, id="bubblewrap", marks=pytest.mark.bwrap),
]


@pytest.fixture(params=BACKENDS)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Each backend in turn, opened and closed."""
    async with request.param() as opened:
        yield opened


def build_missing_image(session: pytest.Session) -> None:
    """Builds the default image before the first test that needs it, outside its timeout."""
    needed = any(item.get_closest_marker("docker") for item in session.items)
    if not needed or session.config.option.collectonly:
        return
    try:
        engine = Engine.connect()
    except SandboxUnavailableError:
        return  # those tests are skipped, or fail with `--require`
    with closing(engine):
        try:
            default_image(engine)
        except SandboxUnavailableError:
            build_image(engine, progress=lambda _: None)


def leftovers(owner: int | None = None) -> list[str]:
    """Containers, control groups and launchers that this process, or another one, left."""
    mine = f".{owner or os.getpid()}."
    found = [f"group {name}" for name in cgroup.groups() if mine in name]
    found += [f"launcher {pid}" for pid, lease in reaper.launchers().items() if mine in lease]
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
