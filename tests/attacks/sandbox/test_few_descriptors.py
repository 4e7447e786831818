"""A caller that runs out of descriptors while it starts a sandbox: told, and nothing is left."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backends import BACKENDS, leftovers

from sandbox import CommandJob, SandboxError, SandboxProfile
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.protocol import PrewarmingSandbox

JOB = CommandJob(("true",))
MOST = 60
"""More than a start needs at once."""


def opened() -> set[int]:
    """Descriptors of this process, and one for having looked."""
    return {int(path.name) for path in Path("/proc/self/fd").iterdir()}


@contextmanager
def few(free: int) -> Iterator[None]:
    """No more than so many descriptors can be opened."""
    taken = opened()
    most = next(n for n in range(4096) if n - sum(each < n for each in taken) == free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", BACKENDS[1:])
async def test_a_start_with_too_few_descriptors_is_an_error_of_ours(
    backend: Callable[[], PrewarmingSandbox],
) -> None:
    """However many there are, until there are enough."""
    async with backend() as sandbox:
        await sandbox.run(JOB, SandboxProfile())
        before = len(opened())
        for free in range(MOST):
            try:
                with few(free):
                    result = await sandbox.run(JOB, SandboxProfile())
            except SandboxError:
                assert leftovers() == []
            else:
                break

        assert result.verdict == "ok"
        assert free > 0
        assert len(opened()) == before


def test_nobody_is_given_up_because_no_descriptor_is_free() -> None:
    """A living owner's sandbox would be removed under it."""
    living = Lease.of_this_process(wall_seconds=60)
    assert not living.is_abandoned()
    with few(0):
        in_doubt = living.is_abandoned()

    assert not in_doubt
    assert Lease(living.boot, living.namespace, 2**22, 1, living.expires).is_abandoned()
