"""Budgets of a run: reserved before a call, settled after it, never overshot.

Every amount is a whole number in the budget's own smallest unit (calls, cents, bytes). A
reservation takes all its amounts or none, in one step, so that any number of concurrent
callers together stay within the limits. What a call did not use is given back by `settle`.

A run may be opened below another (a sub-agent's): what it reserves is taken from all above it in
the same step, as far as they have a budget of that name.

A reservation whose owner died stays taken: the budget then refuses early rather than late.
A name the run was not opened with has no budget at all, and refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from permissions.database import Schema
from permissions.errors import BudgetError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

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

    async def open(
        self, run: str, limits: Mapping[str, int | None], *, parent: str | None = None
    ) -> None:
        """Fixes the limits of a run; None counts without a limit.

        Opening a run again with the same limits goes on where it was.

        Args:
            run: the run.
            limits: by name.
            parent: an opened run from whose budgets this one's are taken, too.

        Raises:
            BudgetError: the run was opened with other limits or another parent, the parent was
                not opened, or a limit makes no sense.
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
        self._parents: dict[str, str | None] = {}
        self._used: dict[str, dict[str, int]] = {}
        self._open: set[int] = set()
        self._ids = count(1)

    async def open(
        self, run: str, limits: Mapping[str, int | None], *, parent: str | None = None
    ) -> None:
        """See `BudgetLedger`."""
        wanted = _checked_limits(limits)
        if parent is not None and parent not in self._limits:
            raise _no_parent(run)
        if self._limits.get(run, wanted) != wanted or self._parents.get(run, parent) != parent:
            raise _other_limits(run)
        self._limits[run], self._parents[run] = wanted, parent
        self._used.setdefault(run, dict.fromkeys(wanted, 0))

    async def used(self, run: str) -> dict[str, int]:
        """See `BudgetLedger`."""
        return dict(self._used.get(run, {}))

    async def reserve(self, run: str, amounts: Mapping[str, int]) -> Reserved | Exhausted:
        """See `BudgetLedger`."""
        wanted = _checked_amounts(amounts)
        for each in self._chain(run):
            limits, used = self._limits.get(each, {}), self._used.get(each, {})
            if (short := _short(wanted, limits, used, is_own=each == run)) is not None:
                return short
        self._add(run, wanted)
        reserved = Reserved(next(self._ids), run, wanted)
        self._open.add(reserved.id)
        return reserved

    async def settle(self, reserved: Reserved, spent: Mapping[str, int]) -> None:
        """See `BudgetLedger`."""
        back = _unspent(reserved, spent)
        if reserved.id not in self._open:
            raise _ended(reserved)
        self._open.remove(reserved.id)
        self._add(reserved.run, {name: -amount for name, amount in back.items()})

    async def release(self, reserved: Reserved) -> None:
        """See `BudgetLedger`."""
        await self.settle(reserved, {})

    def _chain(self, run: str) -> Iterator[str]:
        at: str | None = run
        while at is not None:
            yield at
            at = self._parents.get(at)

    def _add(self, run: str, amounts: Mapping[str, int]) -> None:
        for each in self._chain(run):
            used = self._used[each]
            for name in amounts.keys() & used.keys():
                used[name] += amounts[name]


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
        ("ALTER TABLE budget_run ADD COLUMN parent TEXT",),
    ),
)


class SqliteBudgetLedger:
    """A `BudgetLedger` in the shared state file: one budget for all processes of a run."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def open(
        self, run: str, limits: Mapping[str, int | None], *, parent: str | None = None
    ) -> None:
        """See `BudgetLedger`."""
        wanted = _checked_limits(limits)

        def work(connection: sqlite3.Connection) -> None:
            if parent is not None and _parent(connection, parent) is _NOT_OPENED:
                raise _no_parent(run)
            new = connection.execute(
                "INSERT OR IGNORE INTO budget_run (run, parent) VALUES (?, ?)", (run, parent)
            )
            if new.rowcount == 1:
                connection.executemany(
                    "INSERT INTO budget (run, name, limited_to) VALUES (?, ?, ?)",
                    [(run, name, limit) for name, limit in wanted.items()],
                )
            elif _row(connection, run)[0] != wanted or _parent(connection, run) != parent:
                raise _other_limits(run)

        await self._database.write(work)

    async def used(self, run: str) -> dict[str, int]:
        """See `BudgetLedger`."""
        return await self._database.read(lambda connection: _row(connection, run)[1])

    async def reserve(self, run: str, amounts: Mapping[str, int]) -> Reserved | Exhausted:
        """See `BudgetLedger`."""
        wanted = _checked_amounts(amounts)

        def work(connection: sqlite3.Connection) -> Reserved | Exhausted:
            for each in _chain(connection, run):
                short = _short(wanted, *_row(connection, each), is_own=each == run)
                if short is not None:
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


_NOT_OPENED = object()


def _parent(connection: sqlite3.Connection, run: str) -> Any:
    """The run above one, None where it is the first, or `_NOT_OPENED`."""
    found = connection.execute("SELECT parent FROM budget_run WHERE run = ?", (run,)).fetchone()
    return _NOT_OPENED if found is None else found[0]


def _chain(connection: sqlite3.Connection, run: str) -> Iterator[str]:
    at: Any = run
    while isinstance(at, str):
        yield at
        at = _parent(connection, at)


def _add(connection: sqlite3.Connection, run: str, amounts: Mapping[str, int]) -> None:
    connection.executemany(
        "UPDATE budget SET used = used + ? WHERE run = ? AND name = ?",
        [
            (amount, each, name)
            for each in _chain(connection, run)
            for name, amount in amounts.items()
        ],
    )


def _short(
    wanted: Mapping[str, int],
    limits: Mapping[str, int | None],
    used: Mapping[str, int],
    *,
    is_own: bool,
) -> Exhausted | None:
    """The first budget that does not hold what is wanted; those above may have none of a name."""
    for name, amount in wanted.items():
        if not is_own and name not in limits:
            continue
        if (short := _shortage(name, amount, limits, used)) is not None:
            return short
    return None


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
        f"run {run[:80]!r} was opened with other limits, or below another run; both are fixed"
        " at its start"
    )


def _no_parent(run: str) -> BudgetError:
    return BudgetError(f"run {run[:80]!r} was opened below a run that has no budgets here")


def _ended(reserved: Reserved) -> BudgetError:
    return BudgetError(f"reservation {reserved.id} of run {reserved.run[:80]!r} has ended")
