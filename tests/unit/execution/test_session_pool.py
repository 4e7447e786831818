"""Which sessions sandbox a call gets, and when it gets none. Nothing is started here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from permissions.errors import ExecutionError, StateLostError
from permissions.execution.session_pool import MOST_SESSIONS, SessionPool, StartedFor
from sandbox import SandboxProfile, SandboxSession
from sandbox.backends.bubblewrap import BubblewrapSandbox

STARTED_FOR = StartedFor("bubblewrap", "process", None, (Path("/code/a"),))


def begin() -> SandboxSession:
    return SandboxSession(BubblewrapSandbox(), SandboxProfile())


def test_one_run_and_tool_has_one_and_shares_it_with_nobody() -> None:
    sessions = SessionPool()
    paths = [("r", "one"), ("r", "other"), ("s", "one"), ("s", "other")]

    first = [sessions.find(run, tool, STARTED_FOR, begin) for run, tool in paths]
    second = [sessions.find(run, tool, STARTED_FOR, begin) for run, tool in paths]

    assert [one.id for one in first] == [one.id for one in second]
    assert len({one.id for one in first}) == 4


@pytest.mark.parametrize(
    "change",
    [{"backend": "docker"}, {"boundary": "kernel"}, {"profile": "wide"}, {"code": ()}],
    ids=str,
)
def test_a_call_for_something_else_does_not_run_in_it(change: dict[str, Any]) -> None:
    """It is told so once, and begins anew after that."""
    sessions = SessionPool()
    first = sessions.find("r", "tool", STARTED_FOR, begin)
    other = replace(STARTED_FOR, **change)

    with pytest.raises(StateLostError, match="another boundary, profile or code"):
        sessions.find("r", "tool", other, begin)

    assert sessions.find("r", "tool", other, begin).id != first.id


async def test_one_that_is_over_is_told_once_and_removed_before() -> None:
    """Its slot is free for others meanwhile."""
    sessions = SessionPool()
    session = sessions.find("r", "tool", STARTED_FOR, begin)
    await session.aclose()
    await sessions.clear()

    with pytest.raises(StateLostError, match="tool has ended: it was closed"):
        sessions.find("r", "tool", STARTED_FOR, begin)

    assert sessions.find("r", "tool", STARTED_FOR, begin).ended is None


async def test_a_runs_end_ends_its_own_only() -> None:
    sessions = SessionPool()
    mine = [sessions.find("r", tool, STARTED_FOR, begin) for tool in ("one", "other")]
    theirs = sessions.find("s", "one", STARTED_FOR, begin)

    await sessions.end_run("r")

    assert [one.ended for one in mine] == ["it was closed"] * 2
    assert theirs.ended is None
    await sessions.aclose()
    assert theirs.ended == "it was closed"


async def test_there_are_only_so_many() -> None:
    sessions = SessionPool()
    for number in range(MOST_SESSIONS):
        sessions.find(f"run-{number}", "tool", STARTED_FOR, begin)

    with pytest.raises(ExecutionError, match="open already"):
        sessions.find("one-more", "tool", STARTED_FOR, begin)

    await sessions.end_run("run-0")
    assert sessions.find("one-more", "tool", STARTED_FOR, begin)
