"""Which kept sandbox a call gets, and when it gets none. Nothing is started here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from permissions.errors import ExecutionError, StateLostError
from permissions.execution.session_pool import MOST_KEPT, KeptSandboxes, Walls
from sandbox import SandboxProfile, SandboxSession
from sandbox.backends.bubblewrap import BubblewrapSandbox

WALLS = Walls("bubblewrap", "process", None, (Path("/code/a"),))


def begin() -> SandboxSession:
    return SandboxSession(BubblewrapSandbox(), SandboxProfile())


def test_one_run_and_tool_has_one_and_shares_it_with_nobody() -> None:
    kept = KeptSandboxes()
    places = [("r", "one"), ("r", "other"), ("s", "one"), ("s", "other")]

    first = [kept.find(run, tool, WALLS, begin) for run, tool in places]
    second = [kept.find(run, tool, WALLS, begin) for run, tool in places]

    assert [one.id for one in first] == [one.id for one in second]
    assert len({one.id for one in first}) == 4


@pytest.mark.parametrize(
    "change",
    [{"backend": "docker"}, {"boundary": "kernel"}, {"profile": "wide"}, {"code": ()}],
    ids=str,
)
def test_a_call_with_other_walls_does_not_run_in_it(change: dict[str, Any]) -> None:
    """It is told so once, and begins anew after that."""
    kept = KeptSandboxes()
    first = kept.find("r", "tool", WALLS, begin)
    other = replace(WALLS, **change)

    with pytest.raises(StateLostError, match="another boundary, profile or code"):
        kept.find("r", "tool", other, begin)

    assert kept.find("r", "tool", other, begin).id != first.id


async def test_one_that_is_over_is_told_once_and_removed_before() -> None:
    """Its place is free for others meanwhile."""
    kept = KeptSandboxes()
    session = kept.find("r", "tool", WALLS, begin)
    await session.aclose()
    await kept.clear()

    with pytest.raises(StateLostError, match="tool has ended: it was closed"):
        kept.find("r", "tool", WALLS, begin)

    assert kept.find("r", "tool", WALLS, begin).ended is None


async def test_a_runs_end_ends_its_own_only() -> None:
    kept = KeptSandboxes()
    mine = [kept.find("r", tool, WALLS, begin) for tool in ("one", "other")]
    theirs = kept.find("s", "one", WALLS, begin)

    await kept.end_run("r")

    assert [one.ended for one in mine] == ["it was closed"] * 2
    assert theirs.ended is None
    await kept.aclose()
    assert theirs.ended == "it was closed"


async def test_there_are_only_so_many() -> None:
    kept = KeptSandboxes()
    for number in range(MOST_KEPT):
        kept.find(f"run-{number}", "tool", WALLS, begin)

    with pytest.raises(ExecutionError, match="kept already"):
        kept.find("one-more", "tool", WALLS, begin)

    await kept.end_run("run-0")
    assert kept.find("one-more", "tool", WALLS, begin)
