"""Both sandbox backends keep the contract of sessions, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from backends import REPEATED, leftovers

from sandbox import (
    PythonJob,
    Sandbox,
    SandboxProfile,
    SandboxProviderError,
    SandboxSession,
)
from sandbox.conformance import CHECKS, attempt
from sandbox.conformance.sessions import SESSION_CHECKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox import (
        Availability,
        ExecResult,
        Job,
        RunRequest,
        StartedSandbox,
    )


@pytest.mark.parametrize("sandbox", REPEATED, indirect=True)
@pytest.mark.parametrize("check", SESSION_CHECKS.values(), ids=SESSION_CHECKS.keys())
async def test_conforms(sandbox: Sandbox, check: Callable[[Sandbox], Awaitable[None]]) -> None:
    """Each check of the contract; what its sessions were is gone with them."""
    await check(sandbox)

    assert leftovers() == []


class SecondCall(Sandbox):
    """A `Sandbox` that runs each Python job as the second call of a session of its own."""

    def __init__(self, backend: Sandbox) -> None:
        self.name = backend.name
        self.isolation = backend.isolation
        self._backend = backend

    async def probe(self) -> Availability:
        return await self._backend.probe()

    async def start(self, request: RunRequest) -> StartedSandbox:
        return await self._backend.start(request)

    async def run(self, job: Job, profile: SandboxProfile, **more: Any) -> ExecResult:
        if not isinstance(job, PythonJob):
            return await self._backend.run(job, profile, **more)
        async with SandboxSession(
            self._backend, profile, code_roots=job.code_roots, preload=job.preload
        ) as session:
            await session.evaluate("1")
            return await session.run(job, **more)

    async def aclose(self) -> None:
        await self._backend.aclose()


FORGES = "the_job_cannot_pretend"
"""Its forged answers are an exception of a run, and end a session: see below."""


@pytest.mark.parametrize("sandbox", REPEATED, indirect=True)
@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {FORGES}))
async def test_a_session_has_the_isolation_and_limits_of_a_run(
    sandbox: Sandbox, name: str
) -> None:
    """Every check of a sandbox that is used once, for a call that is not the first."""
    await CHECKS[name](SecondCall(sandbox))

    assert leftovers() == []


@pytest.mark.parametrize("text", ["no json", "[]", "[" * 60000], ids=["text", "list", "deep"])
async def test_a_forged_answer_is_no_answer(sandbox: Sandbox, text: str) -> None:
    """In another form than agreed it ends the session, unless its process ends first."""
    try:
        result = await attempt(SecondCall(sandbox), "forge", text=text)
        end = f"{result.verdict} {result.value}"
    except SandboxProviderError as err:
        end = str(err)

    assert end == "exit None" or "another form" in end
