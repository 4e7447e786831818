"""Budgets of a run: reserved before a call, settled after it, never overshot.

Every amount is a whole number in the budget's own smallest unit (calls, cents, bytes). A
reservation takes all its amounts or none, in one step, so that any number of concurrent
callers together stay within the limits. What a call did not use is given back by `settle`.

A reservation whose owner died stays taken: the budget then refuses early rather than late.
A name the run was not opened with has no budget at all, and refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from permissions.database import Schema
from permissions.errors import BudgetError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from permissions.database import StateDatabase

MAX_AMOUNT = 2**53 - 1
"""Largest limit or amount; policies and other programs read these as JSON numbers."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Amounts taken from a run's budgets for one call; hand it to `settle` or `release`."""

    id: int
    run: str
    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Nothing was reserved: the first budget, by name, that does not hold the amount.

    Attributes:
        used: what is taken already, open reservations included.
        limit: of the run; 0 for a name it was not opened with.
    """

    name: str
    used: int
    limit: int


class BudgetLedger(Protocol):
    """Counts what each run has used. Every method raises `StateError` when it cannot."""

    async def open(self, run: str, limits: Mapping[str, int | None]) -> None:
        """Fixes the limits of a run; None counts without a limit.

        Opening a run again with the same limits goes on where it was.

        Raises:
            BudgetError: the run was opened with other limits, or a limit makes no sense.
        """
        ...

    async def used(self, run: str) -> dict[str, int]:
        """What is taken from each budget of a run, open reservations included."""
        ...

    async def reserve(self, run: str, amounts: Mapping[str, int]) -> Reserved | Exhausted:
        """Takes all amounts, or none of them.

        Raises:
            BudgetError: an amount is negative, not a whole number, or beyond 2^53 - 1.
        """
        ...

    async def settle(self, reserved: Reserved, spent: Mapping[str, int]) -> None:
        """Ends a reservation: keeps what was spent, gives the rest back.

        Raises:
            BudgetError: it has ended already, or more was spent than reserved: reserve the
                worst case first.
        """
        ...

    async def release(self, reserved: Reserved) -> None:
        """Ends a reservation of a call that did not run: gives everything back.

        Raises:
            BudgetError: it has ended already.
        """
        ...


class InMemoryBudgetLedger:
    """A `BudgetLedger` for one process; no step is interrupted, so none needs a lock."""

    def __init__(self) -> None:
        self._limits: dict[str, dict[str, int | None]] = {}
        self._used: dict[str, dict[str, int]] = {}
        self._open: set[int] = set()
        self._ids = count(1)

    async def open(self, run: str, limits: Mapping[str, int | None]) -> None:
        """See `BudgetLedger`."""
        wanted = _checked_limits(limits)
        if self._limits.setdefault(run, wanted) != wanted:
            raise _other_limits(run)
        self._used.setdefault(run, dict.fromkeys(wanted, 0))

    async def used(self, run: str) -> dict[str, int]:
        """See `BudgetLedger`."""
        return dict(self._used.get(run, {}))

    async def reserve(self, run: str, amounts: Mapping[str, int]) -> Reserved | Exhausted:
        """See `BudgetLedger`."""
        wanted = _checked_amounts(amounts)
        limits, used = self._limits.get(run, {}), self._used.get(run, {})
        for name, amount in wanted.items():
            if (short := _shortage(name, amount, limits, used)) is not None:
                return short
        for name, amount in wanted.items():
            used[name] += amount
        reserved = Reserved(next(self._ids), run, wanted)
        self._open.add(reserved.id)
        return reserved

    async def settle(self, reserved: Reserved, spent: Mapping[str, int]) -> None:
        """See `BudgetLedger`."""
        back = _unspent(reserved, spent)
        if reserved.id not in self._open:
            raise _ended(reserved)
        self._open.remove(reserved.id)
        for name, amount in back.items():
            self._used[reserved.run][name] -= amount

    async def release(self, reserved: Reserved) -> None:
        """See `BudgetLedger`."""
        await self.settle(reserved, {})


SCHEMA = Schema(
    owner="budget",
    migrations=(
        (
            """
            CREATE TABLE budget (
                run TEXT NOT NULL,
                name TEXT NOT NULL,
                limited_to INTEGER,
                used INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
                PRIMARY KEY (run, name),
                CHECK (limited_to IS NULL OR used <= limited_to)
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE budget_run (run TEXT PRIMARY KEY) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE budget_reservation (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                run TEXT NOT NULL
            ) STRICT
            """,
        ),
    ),
)


class SqliteBudgetLedger:
    """A `BudgetLedger` in the shared state file: one budget for all processes of a run."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def open(self, run: str, limits: Mapping[str, int | None]) -> None:
        """See `BudgetLedger`."""
        wanted = _checked_limits(limits)

        def work(connection: sqlite3.Connection) -> None:
            new = connection.execute("INSERT OR IGNORE INTO budget_run VALUES (?)", (run,))
            if new.rowcount == 1:
                connection.executemany(
                    "INSERT INTO budget (run, name, limited_to) VALUES (?, ?, ?)",
                    [(run, name, limit) for name, limit in wanted.items()],
                )
            elif _row(connection, run)[0] != wanted:
                raise _other_limits(run)

        await self._database.write(work)

    async def used(self, run: str) -> dict[str, int]:
        """See `BudgetLedger`."""
        return await self._database.read(lambda connection: _row(connection, run)[1])

    async def reserve(self, run: str, amounts: Mapping[str, int]) -> Reserved | Exhausted:
        """See `BudgetLedger`."""
        wanted = _checked_amounts(amounts)

        def work(connection: sqlite3.Connection) -> Reserved | Exhausted:
            limits, used = _row(connection, run)
            for name, amount in wanted.items():
                if (short := _shortage(name, amount, limits, used)) is not None:
                    return short
            _add(connection, run, wanted)
            (taken,) = connection.execute(
                "INSERT INTO budget_reservation (run) VALUES (?) RETURNING id", (run,)
            ).fetchone()
            return Reserved(taken, run, wanted)

        return await self._database.write(work)

    async def settle(self, reserved: Reserved, spent: Mapping[str, int]) -> None:
        """See `BudgetLedger`."""
        back = _unspent(reserved, spent)

        def work(connection: sqlite3.Connection) -> None:
            ended = connection.execute(
                "DELETE FROM budget_reservation WHERE id = ? AND run = ?",
                (reserved.id, reserved.run),
            )
            if ended.rowcount != 1:
                raise _ended(reserved)
            _add(connection, reserved.run, {name: -amount for name, amount in back.items()})

        await self._database.write(work)

    async def release(self, reserved: Reserved) -> None:
        """See `BudgetLedger`."""
        await self.settle(reserved, {})


def _row(
    connection: sqlite3.Connection, run: str
) -> tuple[dict[str, int | None], dict[str, int]]:
    rows = connection.execute(
        "SELECT name, limited_to, used FROM budget WHERE run = ? ORDER BY name", (run,)
    ).fetchall()
    return {name: limit for name, limit, _ in rows}, {name: used for name, _, used in rows}


def _add(connection: sqlite3.Connection, run: str, amounts: Mapping[str, int]) -> None:
    connection.executemany(
        "UPDATE budget SET used = used + ? WHERE run = ? AND name = ?",
        [(amount, run, name) for name, amount in amounts.items()],
    )


def _shortage(
    name: str, amount: int, limits: Mapping[str, int | None], used: Mapping[str, int]
) -> Exhausted | None:
    if name not in limits:
        return Exhausted(name, used=0, limit=0)
    limit = MAX_AMOUNT if (fixed := limits[name]) is None else fixed
    return Exhausted(name, used[name], limit) if used[name] + amount > limit else None


def _checked_limits(limits: Mapping[str, int | None]) -> dict[str, int | None]:
    return {
        name: None if limit is None else _whole(name, limit)
        for name, limit in sorted(limits.items())
    }


def _checked_amounts(amounts: Mapping[str, int]) -> dict[str, int]:
    return {name: _whole(name, amount) for name, amount in sorted(amounts.items())}


def _whole(name: str, amount: int) -> int:
    # `type`, because True is an int to Python and a mistake here.
    if type(amount) is not int or not 0 <= amount <= MAX_AMOUNT:
        raise BudgetError(
            f"budget {name[:80]!r}: an amount is a whole number from 0 to 2^53 - 1"
        )
    return amount


def _unspent(reserved: Reserved, spent: Mapping[str, int]) -> dict[str, int]:
    checked = _checked_amounts(spent)
    for name, amount in checked.items():
        if amount > reserved.amounts.get(name, 0):
            raise BudgetError(
                f"budget {name[:80]!r}: {amount} spent, {reserved.amounts.get(name, 0)}"
                " reserved; reserve the most a call can spend before it runs"
            )
    return {name: amount - checked.get(name, 0) for name, amount in reserved.amounts.items()}


def _other_limits(run: str) -> BudgetError:
    return BudgetError(
        f"run {run[:80]!r} was opened with other limits; they are fixed at its start"
    )


def _ended(reserved: Reserved) -> BudgetError:
    return BudgetError(f"reservation {reserved.id} of run {reserved.run[:80]!r} has ended")
