"""Whatever is reserved, settled and released: never over a limit, and both ledgers agree."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.from_thread
from effort import tries
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from permissions.database import StateDatabase
from permissions.obligations.budget import (
    SCHEMA,
    InMemoryBudgetLedger,
    Reserved,
    SqliteBudgetLedger,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from permissions.obligations.budget import BudgetLedger

LIMITS = {"calls": 5, "cents": 100, "bytes": None}
AMOUNTS = st.dictionaries(st.sampled_from([*LIMITS, "unknown"]), st.integers(0, 60), max_size=3)


class Ledgers(RuleBasedStateMachine):
    reservations: Bundle[Any] = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.portal_context = anyio.from_thread.start_blocking_portal()
        self.portal = self.portal_context.__enter__()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.ledgers: list[BudgetLedger] = self.portal.call(self._open)
        self.taken = dict.fromkeys(LIMITS, 0)

    async def _open(self) -> list[BudgetLedger]:
        path = Path(self.folder.name) / "state.db"
        database = await self.stack.enter_async_context(StateDatabase(path, [SCHEMA]))
        ledgers: list[BudgetLedger] = [InMemoryBudgetLedger(), SqliteBudgetLedger(database)]
        for ledger in ledgers:
            await ledger.open("run-1", LIMITS)
        return ledgers

    def teardown(self) -> None:
        self.portal.call(self.stack.aclose)
        self.portal_context.__exit__(None, None, None)
        self.folder.cleanup()

    def each(self, work: Callable[[BudgetLedger], Awaitable[Any]]) -> list[Any]:
        return [self.portal.call(work, ledger) for ledger in self.ledgers]

    @rule(target=reservations, amounts=AMOUNTS)
    def reserve(self, amounts: dict[str, int]) -> list[Any]:
        got = self.each(lambda ledger: ledger.reserve("run-1", amounts))

        fits = "unknown" not in amounts and all(
            self.taken[name] + amount <= (LIMITS[name] or amount + self.taken[name])
            for name, amount in amounts.items()
        )
        assert [isinstance(each, Reserved) for each in got] == [fits, fits]
        if fits:
            for name, amount in amounts.items():
                self.taken[name] += amount
        else:
            assert got[0] == got[1]
        return got

    @rule(reserved=consumes(reservations), share=st.integers(0, 100))
    def settle(self, reserved: list[Any], share: int) -> None:
        if not isinstance(reserved[0], Reserved):
            return
        spent = {name: amount * share // 100 for name, amount in reserved[0].amounts.items()}
        for ledger, each in zip(self.ledgers, reserved, strict=True):
            self.portal.call(ledger.settle, each, spent)
        for name, amount in reserved[0].amounts.items():
            self.taken[name] -= amount - spent[name]

    @invariant()
    def what_is_used_is_what_was_taken_and_within_limits(self) -> None:
        assert self.each(lambda ledger: ledger.used("run-1")) == [self.taken, self.taken]
        assert self.taken["calls"] <= 5
        assert self.taken["cents"] <= 100


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=tries(25), stateful_step_count=25)
