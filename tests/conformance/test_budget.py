"""What every budget ledger must do, in memory or on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from permissions.database import StateDatabase
from permissions.errors import BudgetError
from permissions.obligations.budget import (
    MAX_AMOUNT,
    SCHEMA,
    Exhausted,
    InMemoryBudgetLedger,
    Reserved,
    SqliteBudgetLedger,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.obligations.budget import BudgetLedger

pytestmark = pytest.mark.both_backends

RUN = "run-1"


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BudgetLedger]:
    if request.param == "memory":
        yield InMemoryBudgetLedger()
        return
    async with StateDatabase(tmp_path / "state.sqlite", [SCHEMA]) as database:
        yield SqliteBudgetLedger(database)


async def take(ledger: BudgetLedger, run: str = RUN, **amounts: int) -> Reserved:
    reserved = await ledger.reserve(run, amounts)
    assert isinstance(reserved, Reserved)
    return reserved


async def test_a_reservation_counts_at_once(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"calls": 3, "cents": 100})
    await take(ledger, calls=1, cents=40)

    assert await ledger.used(RUN) == {"calls": 1, "cents": 40}


async def test_a_limit_is_reached_but_never_passed(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"cents": 100})
    await take(ledger, cents=60)

    assert await ledger.reserve(RUN, {"cents": 41}) == Exhausted("cents", used=60, limit=100)
    await take(ledger, cents=40)
    assert await ledger.used(RUN) == {"cents": 100}


async def test_all_amounts_are_taken_or_none(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"calls": 10, "cents": 5})

    assert await ledger.reserve(RUN, {"calls": 1, "cents": 6}) == Exhausted("cents", 0, 5)
    assert await ledger.used(RUN) == {"calls": 0, "cents": 0}


async def test_what_was_not_spent_is_given_back(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"calls": 10, "cents": 100})
    await ledger.settle(await take(ledger, calls=1, cents=90), {"calls": 1, "cents": 30})

    assert await ledger.used(RUN) == {"calls": 1, "cents": 30}


async def test_a_release_gives_everything_back(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"calls": 1})
    await ledger.release(await take(ledger, calls=1))

    assert await ledger.used(RUN) == {"calls": 0}


async def test_a_reservation_ends_once(ledger: BudgetLedger) -> None:
    """Or giving back twice would make budget out of nothing."""
    await ledger.open(RUN, {"calls": 5})
    kept = await take(ledger, calls=2)
    reserved = await take(ledger, calls=3)
    await ledger.release(reserved)

    with pytest.raises(BudgetError, match="has ended"):
        await ledger.release(reserved)
    with pytest.raises(BudgetError, match="has ended"):
        await ledger.settle(reserved, {})
    assert await ledger.used(RUN) == {"calls": 2}
    await ledger.settle(kept, {"calls": 2})


async def test_more_spent_than_reserved_is_refused(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"cents": 100})
    reserved = await take(ledger, cents=10)

    for spent in ({"cents": 11}, {"other": 1}):
        with pytest.raises(BudgetError, match="reserve the most"):
            await ledger.settle(reserved, spent)
    assert await ledger.used(RUN) == {"cents": 10}


async def test_an_unknown_budget_or_run_holds_nothing(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"calls": 5})

    assert await ledger.reserve(RUN, {"cents": 1}) == Exhausted("cents", 0, 0)
    assert await ledger.reserve("run-2", {"calls": 1}) == Exhausted("calls", 0, 0)
    assert await ledger.used("run-2") == {}


async def test_no_limit_counts_all_the_same(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"calls": None})
    await take(ledger, calls=7)

    assert await ledger.used(RUN) == {"calls": 7}
    assert await ledger.reserve(RUN, {"calls": MAX_AMOUNT}) == Exhausted("calls", 7, MAX_AMOUNT)


async def test_limits_are_fixed_at_the_start_of_a_run(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"calls": 5})
    await take(ledger, calls=2)
    await ledger.open(RUN, {"calls": 5})

    for other in ({"calls": 6}, {}, {"calls": 5, "cents": 1}, {"calls": None}):
        with pytest.raises(BudgetError, match="other limits"):
            await ledger.open(RUN, other)
    assert await ledger.used(RUN) == {"calls": 2}


async def test_a_run_without_budgets_keeps_none(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {})

    with pytest.raises(BudgetError, match="other limits"):
        await ledger.open(RUN, {"calls": 5})


@pytest.mark.parametrize("amount", [-1, True, 1.0, MAX_AMOUNT + 1, "1", None])
async def test_amounts_that_make_no_sense_are_refused(
    ledger: BudgetLedger, amount: Any
) -> None:
    await ledger.open(RUN, {"calls": 5})
    await take(ledger, calls=3)

    with pytest.raises(BudgetError, match="whole number"):
        await ledger.reserve(RUN, {"calls": amount})
    assert await ledger.used(RUN) == {"calls": 3}


async def test_runs_do_not_share_budgets(ledger: BudgetLedger) -> None:
    await ledger.open("a", {"calls": 1})
    await ledger.open("b", {"calls": 1})
    await take(ledger, "a", calls=1)

    await take(ledger, "b", calls=1)


async def test_fifty_callers_at_once_never_overshoot(ledger: BudgetLedger) -> None:
    await ledger.open(RUN, {"cents": 100})
    got: list[object] = []

    async def reserve() -> None:
        got.append(await ledger.reserve(RUN, {"cents": 7}))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(reserve)

    assert sum(isinstance(each, Reserved) for each in got) == 14
    assert await ledger.used(RUN) == {"cents": 98}


async def test_a_run_below_takes_from_all_above_or_from_none(ledger: BudgetLedger) -> None:
    await ledger.open("top", {"calls": 3, "cents": 100})
    await ledger.open("middle", {"calls": None, "cents": 60}, parent="top")
    await ledger.open("low", {"calls": 2, "cents": 60, "own": 5}, parent="middle")

    held = await take(ledger, "low", calls=1, cents=50, own=2)
    assert await ledger.used("top") == {"calls": 1, "cents": 50}
    assert await ledger.used("middle") == {"calls": 1, "cents": 50}
    short = await ledger.reserve("low", {"calls": 1, "cents": 10, "own": 4})
    assert short == Exhausted("own", used=2, limit=5)
    await take(ledger, "top", cents=45)
    assert await ledger.reserve("low", {"cents": 10}) == Exhausted("cents", used=95, limit=100)
    assert await ledger.used("middle") == {"calls": 1, "cents": 50}, "all or none"

    await ledger.settle(held, {"calls": 1, "cents": 20})
    assert await ledger.used("top") == {"calls": 1, "cents": 65}
    assert await ledger.used("low") == {"calls": 1, "cents": 20, "own": 0}


async def test_a_run_stays_below_the_one_it_was_opened_below(ledger: BudgetLedger) -> None:
    await ledger.open("top", {"calls": 3})
    await ledger.open("low", {"calls": 3}, parent="top")
    await ledger.open("low", {"calls": 3}, parent="top")

    with pytest.raises(BudgetError, match="below another run"):
        await ledger.open("low", {"calls": 3})
    with pytest.raises(BudgetError, match="has no budgets"):
        await ledger.open("stray", {"calls": 3}, parent="gone")


async def test_racers_below_one_run_stay_within_its_limit(ledger: BudgetLedger) -> None:
    await ledger.open("top", {"calls": 10})
    for name in "abcd":
        await ledger.open(name, {"calls": 5}, parent="top")
    taken = [0]

    async def race(name: str) -> None:
        for _ in range(5):
            got = await ledger.reserve(name, {"calls": 1})
            taken[0] += isinstance(got, Reserved)

    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(race, name)

    assert taken == [10]
    assert await ledger.used("top") == {"calls": 10}
