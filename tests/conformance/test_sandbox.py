"""Both sandbox backends keep the port's contract, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from backends import BACKENDS, ON_GVISOR, REPEATED, leftovers

from sandbox.conformance import CHECKS, call
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox import Sandbox


@pytest.mark.parametrize("sandbox", REPEATED, indirect=True)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
async def test_conforms(sandbox: Sandbox, check: Callable[[Sandbox], Awaitable[None]]) -> None:
    await check(sandbox)


@pytest.mark.parametrize("sandbox", [*BACKENDS, *ON_GVISOR], indirect=True)
async def test_nothing_is_left_after_every_kind_of_end(sandbox: Sandbox) -> None:
    """Value, exception, limit, timeout and cancellation leave no container and no group."""
    await call(sandbox, "echo")
    await call(sandbox, "fail", message="x")
    await call(sandbox, "flood", SandboxProfile(output_bytes=10))
    await call(sandbox, "spin", SandboxProfile(wall_seconds=0.3))
    with anyio.move_on_after(0.3):
        await call(sandbox, "spin")

    assert leftovers() == []


@pytest.mark.slow
async def test_nothing_is_left_whenever_it_is_cancelled(sandbox: Sandbox) -> None:
    """From the first milliseconds of the start, each a little later, to the middle of a job."""
    for step in range(24):
        with anyio.move_on_after(step * step * 0.0005):
            await call(sandbox, "spin")
        left = leftovers()
        assert left == [], left


@pytest.mark.parametrize("backend", [*BACKENDS, *ON_GVISOR])
async def test_a_probe_says_what_is_there(backend: Callable[[], Sandbox]) -> None:
    """A working backend is available, and its facts are more than nothing."""
    async with backend() as opened:
        answer = await opened.probe()

    assert answer.available, answer.missing
    assert answer.facts["cgroup"] in ("v1", "v2")
