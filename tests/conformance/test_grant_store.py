"""What every store of remembered approvals must do, in memory or on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from people import STATE_KEYS

from permissions.approval.grant_store import (
    SCHEMA,
    InMemoryGrantStore,
    KeptGrant,
    SqliteGrantStore,
)
from permissions.database import StateDatabase
from permissions.errors import ApprovalError, ApprovalUsedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.approval.grant_store import GrantStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GrantStore]:
    if request.param == "memory":
        yield InMemoryGrantStore()
        return
    async with StateDatabase(tmp_path / "state.sqlite", [SCHEMA]) as database:
        yield SqliteGrantStore(database, STATE_KEYS)


async def test_a_grant_reads_back_and_its_id_is_taken(store: GrantStore) -> None:
    one = KeptGrant("grant-1", "{}", 3)
    await store.add(one)

    assert await store.listed() == (one,)
    with pytest.raises(ApprovalError):
        await store.add(one)
    with pytest.raises(ApprovalError):
        await store.use("grant-2")
    with pytest.raises(ApprovalError):
        await store.revoke("grant-2", 1)


async def test_no_more_uses_are_taken_than_there_are(store: GrantStore) -> None:
    await store.add(KeptGrant("grant-1", "{}", 3))
    taken: list[int] = []

    async def take() -> None:
        try:
            taken.append((await store.use("grant-1")).used)
        except ApprovalUsedError:
            taken.append(0)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(take)

    assert sorted(taken)[-3:] == [1, 2, 3]
    assert taken.count(0) == 17


async def test_a_revoked_one_has_no_use_and_stays_revoked(store: GrantStore) -> None:
    await store.add(KeptGrant("grant-1", "{}", 3))
    await store.revoke("grant-1", 7)

    assert (await store.revoke("grant-1", 9)).revoked_at == 7
    with pytest.raises(ApprovalUsedError):
        await store.use("grant-1")
