"""Bounds of a session, and backends that keep nothing."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import (
    ProfileError,
    SandboxProfile,
    SandboxSession,
    SandboxUnavailableError,
)
from sandbox.egress.sandbox import EgressSandbox
from sandbox.network.rules import Egress, EgressRule
from sandbox.session import SessionBounds


class UsedOnce:
    """A `Sandbox` of somebody's own, which keeps no interpreter."""

    name = "used-once"
    isolation = "process"

    async def probe(self) -> Any: ...

    async def run(self, job: Any, profile: Any, **more: Any) -> Any: ...

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(
    "bound",
    [
        {"calls": 0},
        {"idle_seconds": -1},
        {"total_seconds": float("nan")},
        {"cpu_seconds": True},
    ],
    ids=str,
)
def test_a_bound_that_bounds_nothing_is_refused(bound: dict[str, Any]) -> None:
    with pytest.raises(ProfileError, match=next(iter(bound))):
        SessionBounds(**bound)


def test_a_backend_that_keeps_nothing_is_refused_at_once() -> None:
    """Before anything is started, and with its name."""
    with pytest.raises(SandboxUnavailableError, match="'used-once' keeps no interpreter"):
        SandboxSession(UsedOnce(), SandboxProfile())


@pytest.mark.parametrize(
    "profile",
    [
        SandboxProfile(network=Egress(allow=(EgressRule(host="example.org"),))),
        SandboxProfile(secret_files={"token": "secret://token"}),
    ],
    ids=["egress", "secret file"],
)
async def test_what_is_opened_for_one_run_is_not_kept(profile: SandboxProfile) -> None:
    session = SandboxSession(EgressSandbox(UsedOnce()), profile)

    with pytest.raises(SandboxUnavailableError, match="no egress and no secrets"):
        await session.evaluate("1")
