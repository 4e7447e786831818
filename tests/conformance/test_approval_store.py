"""What every store of access requests must do, in memory or on disk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from people import REASON, START, STATE_KEYS, payment, signed_vote

from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.model import AccessRequest
from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.approval.votes import read_vote
from permissions.database import StateDatabase
from permissions.errors import ApprovalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.approval.store import RequestStore


pytestmark = pytest.mark.both_backends


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RequestStore]:
    if request.param == "memory":
        yield InMemoryRequestStore()
        return
    async with StateDatabase(tmp_path / "state.sqlite", [SCHEMA]) as database:
        yield SqliteRequestStore(database, STATE_KEYS)


def asked(name: str = "ar-1", *, at: int = START, **changes: str) -> AccessRequest:
    return AccessRequest(
        id=name,
        call=payment(**changes),
        reasons=(REASON,),
        created_at=at,
        expires_at=at + 900_000_000,
    )


async def test_what_is_added_reads_back_the_same(store: RequestStore) -> None:
    request = await store.add(asked(arguments='{"note":"größe 😀 \\u0001","x":1e-7}'))

    assert await store.get("ar-1") == request


async def test_asking_again_while_a_request_is_open_meets_it(store: RequestStore) -> None:
    first = await store.add(asked("ar-1"))

    assert await store.add(asked("ar-2", at=START + 1)) == first


async def test_many_askers_at_once_share_one_request(store: RequestStore) -> None:
    got: list[AccessRequest] = []

    async def ask(number: int) -> None:
        got.append(await store.add(asked(f"ar-{number}")))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)

    assert len({request.id for request in got}) == 1
    assert len(await store.listed()) == 1


async def test_an_expired_request_makes_room_for_a_new_one(store: RequestStore) -> None:
    await store.add(asked("ar-1"))
    second = await store.add(asked("ar-2", at=START + 900_000_000))

    assert second.id == "ar-2"
    assert (await store.get("ar-1")).status == "expired"


async def test_a_refusal_stands_for_the_call_it_was_given_for(store: RequestStore) -> None:
    request = await store.add(asked("ar-1"))
    await store.update("ar-1", lambda _: replace(request, status="denied"))

    assert (await store.add(asked("ar-2"))).id == "ar-1"
    assert (await store.add(asked("ar-3", key="call-2"))).id == "ar-3"


async def test_an_id_is_taken_once(store: RequestStore) -> None:
    await store.add(asked("ar-1"))

    with pytest.raises(ApprovalError, match="taken"):
        await store.add(asked("ar-1", key="call-2"))


async def test_an_unknown_id_is_refused_in_a_bounded_message(store: RequestStore) -> None:
    with pytest.raises(ApprovalError) as refused:
        await store.get("x" * 5000)
    assert len(str(refused.value)) < 200
    with pytest.raises(ApprovalError):
        await store.update("nothing", lambda request: request)


async def test_listing_keeps_the_order_and_filters(store: RequestStore) -> None:
    calls = [asked(f"ar-{number}", key=f"call-{number}") for number in range(3)]
    for request in calls:
        await store.add(request)
    await store.update("ar-1", lambda request: replace(request, status="cancelled"))

    assert [request.id for request in await store.listed()] == ["ar-0", "ar-1", "ar-2"]
    assert [r.id for r in await store.listed(pending_only=True)] == ["ar-0", "ar-2"]
    (found,) = await store.of_call(calls[2].call.run, calls[2].call.binding)
    assert found.id == "ar-2"


async def test_an_update_keeps_votes_state_and_order(store: RequestStore) -> None:
    request = await store.add(asked())
    votes = tuple(read_vote(signed_vote(request, name)) for name in ("carol", "bob"))
    for vote in votes:
        await store.update("ar-1", lambda r, vote=vote: replace(r, votes=(*r.votes, vote)))
    await store.update("ar-1", lambda r: replace(r, status="approved"))
    await store.update("ar-1", lambda r: replace(r, consumed_at=START + 5))

    found = await store.get("ar-1")
    assert (found.votes, found.status, found.consumed_at) == (votes, "approved", START + 5)


async def test_a_step_that_raises_changes_nothing(store: RequestStore) -> None:
    request = await store.add(asked())

    def step(_: AccessRequest) -> AccessRequest:
        raise ApprovalError("no")

    with pytest.raises(ApprovalError, match=r"^no$"):
        await store.update("ar-1", step)
    assert await store.get("ar-1") == request


async def test_concurrent_updates_lose_nothing(store: RequestStore) -> None:
    request = await store.add(asked())
    names = ("alice", "bob", "carol", "dave")

    async def vote(name: str) -> None:
        cast = read_vote(signed_vote(request, name))
        await store.update("ar-1", lambda r: replace(r, votes=(*r.votes, cast)))

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(vote, name)

    assert sorted(vote.approver for vote in (await store.get("ar-1")).votes) == list(names)


async def test_a_waiter_is_woken_by_a_change(store: RequestStore) -> None:
    await store.add(asked())
    token = await store.changed(None)

    async def change() -> None:
        await store.update("ar-1", lambda r: replace(r, status="cancelled"))

    with anyio.fail_after(40):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            assert await store.changed(token) != token


async def test_a_change_before_the_wait_is_not_missed(store: RequestStore) -> None:
    token = await store.changed(None)
    await store.add(asked())

    with anyio.fail_after(40):
        assert await store.changed(token) != token


async def test_what_is_open_is_told_without_opening_it(store: RequestStore) -> None:
    for name in ("ar-1", "ar-2", "ar-3"):
        await store.add(asked(name, key=name))
    voted = await store.get("ar-2")
    vote = read_vote(signed_vote(voted, "alice"))
    await store.update("ar-2", lambda request: replace(request, votes=(vote,)))
    await store.update("ar-3", lambda request: replace(request, status="cancelled"))

    assert await store.pending() == {"ar-1": 0, "ar-2": 1}
    found = await store.several(["ar-3", "ar-1", "ar-9"])
    assert [each.id for each in found] == ["ar-1", "ar-3"]
    assert await store.several([]) == ()


async def test_what_was_decided_is_read_in_pages_the_last_first(store: RequestStore) -> None:
    names = [f"ar-{number}" for number in range(1, 6)]
    for name in names:
        await store.add(asked(name, key=name))
    for name in names[:4]:
        await store.update(name, lambda request: replace(request, status="cancelled"))

    first = await store.decided(before=None, limit=3)
    rest = await store.decided(before=first[-1][0], limit=3)
    assert [each.id for _, each in (*first, *rest)] == names[3::-1]
