"""Several processes on one state file: single use, one winner, no overshoot, after kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import racer
from people import REASON, START, STATE_KEYS, Clock, desk, payment, signed_vote

from permissions.approval.store import SqliteRequestStore
from permissions.database import StateDatabase
from permissions.errors import ApprovalUsedError
from permissions.execution.journal import Finished, InDoubt, SqliteJournal
from permissions.obligations.budget import SqliteBudgetLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.approval.service import ApprovalService

RACER = Path(racer.__file__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[StateDatabase]:
    async with StateDatabase(path, racer.SCHEMAS) as opened:
        yield opened


@pytest.fixture
def service(database: StateDatabase) -> ApprovalService:
    return desk(SqliteRequestStore(database, STATE_KEYS), Clock())


def start(what: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    racing = subprocess.Popen(
        [sys.executable, str(RACER), what, str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert racing.stdout is not None
    assert racing.stdout.readline() == '"ready"\n'
    return racing


def race(racers: list[subprocess.Popen[str]]) -> list[int]:
    """Lets all of them go at once; gives what each of them won."""
    for each in racers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [each.communicate(timeout=150)[0] for each in racers]
    assert [each.returncode for each in racers] == [0] * len(racers)
    return [json.loads(out) for out in said]


def run_until_killed(what: str, path: Path, *arguments: str) -> None:
    """Runs a racer that dies the moment its write is durable."""
    dying = start(what, path, "die", *arguments)
    dying.communicate("go\n", timeout=150)
    assert dying.returncode == -signal.SIGKILL


async def test_of_fifty_racers_in_five_processes_one_uses_the_approval(
    service: ApprovalService, path: Path
) -> None:
    call = payment()
    request = await service.submit(call, [REASON])
    await service.vote(signed_vote(request, "bob"))

    won = race([start("consume", path, "10", request.id, call.binding) for _ in range(5)])

    assert sum(won) == 1


async def test_an_approval_is_gone_when_its_user_is_killed_before_the_start(
    service: ApprovalService, path: Path
) -> None:
    call = payment()
    request = await service.submit(call, [REASON])
    await service.vote(signed_vote(request, "bob"))

    run_until_killed("consume", path, request.id, call.binding)

    with pytest.raises(ApprovalUsedError):
        await service.consume(request.id, call.binding)
    assert (await service.submit(call, [REASON])).id != request.id


@pytest.mark.slow
async def test_of_fifty_racers_in_five_processes_one_begins_the_call(
    database: StateDatabase, path: Path
) -> None:
    won = race([start("begin", path, "10") for _ in range(5)])

    assert sum(won) == 1
    journal = SqliteJournal(database, STATE_KEYS, clock=Clock())
    await journal.finish(racer.KEY, result=b"{}", status="completed")
    assert await journal.begin(racer.KEY) == Finished(b"{}", "completed")


async def test_a_call_whose_runner_is_killed_is_in_doubt(
    database: StateDatabase, path: Path
) -> None:
    run_until_killed("begin", path)

    journal = SqliteJournal(database, STATE_KEYS, clock=Clock())
    assert await journal.begin(racer.KEY) == InDoubt(START + 1)


async def test_fifty_reservers_in_two_processes_never_overshoot(
    database: StateDatabase, path: Path
) -> None:
    ledger = SqliteBudgetLedger(database)
    await ledger.open("run-1", {"cents": 100})

    won = race([start("reserve", path, "25", "7") for _ in range(2)])

    assert sum(won) == 100 // 7
    assert await ledger.used("run-1") == {"cents": 98}


async def test_the_reservation_of_a_killed_caller_stays_taken(
    database: StateDatabase, path: Path
) -> None:
    """Refusing early is the safe side of not knowing."""
    ledger = SqliteBudgetLedger(database)
    await ledger.open("run-1", {"cents": 100})

    run_until_killed("reserve", path, "60")

    assert await ledger.used("run-1") == {"cents": 60}
