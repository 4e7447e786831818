"""Limits of a session, and backends that have none."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import (
    ProfileError,
    RunRequest,
    Sandbox,
    SandboxProfile,
    SandboxSession,
    SandboxUnavailableError,
)
from sandbox.egress.sandbox import EgressSandbox
from sandbox.network.rules import Egress, EgressRule
from sandbox.session_limits import SessionLimits


class SingleUse(Sandbox):
    """A `Sandbox` of somebody's own, which has no sessions."""

    name = "single-use"
    isolation = "process"

    async def probe(self) -> Any: ...

    async def start(self, request: RunRequest) -> Any:
        assert request.session is not None
        raise SandboxUnavailableError("the backend 'single-use' has no sessions", "use another")

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(
    "limit",
    [
        {"calls": 0},
        {"idle_seconds": -1},
        {"total_seconds": float("nan")},
        {"cpu_seconds": True},
    ],
    ids=str,
)
def test_a_limit_that_limits_nothing_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(ProfileError, match=next(iter(limit))):
        SessionLimits(**limit)


async def test_a_backend_without_sessions_says_so() -> None:
    """With its name, and no call has run."""
    session = SandboxSession(SingleUse(), SandboxProfile())

    with pytest.raises(SandboxUnavailableError, match="'single-use' has no sessions"):
        await session.evaluate("1")


@pytest.mark.parametrize(
    "profile",
    [
        SandboxProfile(network=Egress(allow=(EgressRule(host="example.org"),))),
        SandboxProfile(secret_files={"token": "secret://token"}),
    ],
    ids=["egress", "secret file"],
)
async def test_what_is_opened_for_one_run_is_not_kept(profile: SandboxProfile) -> None:
    session = SandboxSession(EgressSandbox(SingleUse()), profile)

    with pytest.raises(SandboxUnavailableError, match="no egress and no secrets"):
        await session.evaluate("1")
