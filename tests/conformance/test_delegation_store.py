"""What every store of delegated runs must do, in memory or on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from permissions.database import StateDatabase
from permissions.errors import DelegationError
from permissions.run.delegation_store import (
    SCHEMA,
    Delegated,
    InMemoryDelegationStore,
    SqliteDelegationStore,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.run.delegation_store import DelegationStore

pytestmark = pytest.mark.both_backends


@pytest.fixture(params=["memory", "sqlite"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[DelegationStore]:
    if request.param == "memory":
        yield InMemoryDelegationStore()
        return
    async with StateDatabase(tmp_path / "state.sqlite", [SCHEMA]) as database:
        yield SqliteDelegationStore(database)


def sent(run: str, by: str, opened: int = 1) -> Delegated:
    return Delegated(run, by, f"agent-{run}", ("look", "send"), opened, 9)


async def test_what_was_put_is_listed_oldest_first(store: DelegationStore) -> None:
    await store.put(sent("b", "top", 2))
    await store.put(sent("a", "top", 1))

    assert await store.listed() == [sent("a", "top", 1), sent("b", "top", 2)]


async def test_a_run_is_one_agents_below_one_run(store: DelegationStore) -> None:
    await store.put(sent("a", "top"))
    await store.put(sent("a", "top", 5))

    with pytest.raises(DelegationError, match="another agent"):
        await store.put(sent("a", "elsewhere"))
    assert await store.listed() == [sent("a", "top")]


async def test_revoking_stops_all_below_and_nothing_beside(store: DelegationStore) -> None:
    for run, by in (("a", "top"), ("b", "a"), ("c", "b"), ("d", "top")):
        await store.put(sent(run, by))

    assert await store.revoke("a", now=7) == 3
    assert await store.revoked(["c", "b", "a", "top"]) == "a"
    assert await store.revoked(["d", "top"]) is None
    assert {each.run: each.revoked for each in await store.listed()} == {
        "a": 7, "b": 7, "c": 7, "d": None,
    }  # fmt: skip


async def test_a_revocation_stands(store: DelegationStore) -> None:
    await store.put(sent("a", "top"))
    await store.revoke("a", now=7)
    await store.put(sent("a", "top"))
    await store.revoke("a", now=8)

    assert await store.revoked(["a"]) == "a"
    assert [each.revoked for each in await store.listed()] == [7]


async def test_what_nobody_sent_cannot_be_stopped(store: DelegationStore) -> None:
    with pytest.raises(DelegationError, match="wardline delegation list"):
        await store.revoke("gone", now=1)


async def test_a_run_that_sent_some_stops_them(store: DelegationStore) -> None:
    await store.put(sent("a", "top"))

    assert await store.revoke("top", now=3) == 1
    assert await store.revoked(["a", "top"]) == "top"
