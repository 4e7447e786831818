"""Links and sessions: used once, over in time, of one browser, and kept as digests."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import pytest

from permissions.console.sign_in_memory import InMemorySignInStore
from permissions.console.sign_in_tables import SCHEMA, SqliteSignInStore
from permissions.console.sign_ins import IDLE_SECONDS, LINK_SECONDS, TOTAL_SECONDS, SignIns
from permissions.database import StateDatabase
from permissions.errors import SignInError
from wardline.testing import FixedClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FIREFOX = "Firefox"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "sqlite"])
async def sign_ins(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FixedClock
) -> AsyncIterator[SignIns]:
    if request.param == "memory":
        yield SignIns(InMemorySignInStore(), clock=clock)
        return
    async with StateDatabase(tmp_path / "state.db", [SCHEMA]) as database:
        yield SignIns(SqliteSignInStore(database), clock=clock)


async def test_a_link_signs_in_as_what_it_was_made_for(sign_ins: SignIns) -> None:
    secret, _ = await sign_ins.enter(await sign_ins.link("rita", "responder"), FIREFOX)

    session = await sign_ins.known(secret, FIREFOX)
    assert session is not None
    assert (session.name, session.role, session.enrols) == ("rita", "responder", False)


async def test_of_many_who_open_a_link_one_is_signed_in(sign_ins: SignIns) -> None:
    secret = await sign_ins.link("olga", "approver")
    entered = []

    async def enter() -> None:
        with suppress(SignInError):
            entered.append(await sign_ins.enter(secret, FIREFOX))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(enter)

    assert len(entered) == 1


async def test_a_link_expires(sign_ins: SignIns, clock: FixedClock) -> None:
    secret = await sign_ins.link("olga", "approver")
    clock.advance(LINK_SECONDS)

    with pytest.raises(SignInError, match="expired"):
        await sign_ins.enter(secret, FIREFOX)


async def test_a_guess_signs_nobody_in(sign_ins: SignIns) -> None:
    await sign_ins.link("olga", "approver")

    with pytest.raises(SignInError):
        await sign_ins.enter("", FIREFOX)
    assert await sign_ins.known("", FIREFOX) is None


@pytest.mark.parametrize("times", [1, 30])
async def test_a_session_ends_when_it_is_not_used_or_too_old(
    sign_ins: SignIns, clock: FixedClock, times: int
) -> None:
    secret, _ = await sign_ins.begin("olga", "approver", FIREFOX, by="passkey")
    step = IDLE_SECONDS if times == 1 else TOTAL_SECONDS / times
    for _ in range(times - 1):
        clock.advance(step)
        assert await sign_ins.known(secret, FIREFOX) is not None
    clock.advance(step)

    assert await sign_ins.known(secret, FIREFOX) is None
    assert await sign_ins.known(secret, FIREFOX) is None


async def test_a_stolen_session_ends_where_it_is_used(sign_ins: SignIns) -> None:
    secret, session = await sign_ins.begin("olga", "approver", FIREFOX, by="link")

    assert await sign_ins.known(secret, "curl") is None
    assert await sign_ins.known(secret, FIREFOX) is None
    assert not await sign_ins.holds(session)


async def test_signing_somebody_out_ends_all_of_theirs_and_nothing_else(
    sign_ins: SignIns,
) -> None:
    theirs, _ = await sign_ins.begin("olga", "approver", FIREFOX, by="link")
    link = await sign_ins.link("olga", "approver")
    other, _ = await sign_ins.begin("bea", "approver", FIREFOX, by="link")

    assert await sign_ins.end_all("olga") == 2
    assert await sign_ins.known(theirs, FIREFOX) is None
    assert await sign_ins.known(other, FIREFOX) is not None
    with pytest.raises(SignInError):
        await sign_ins.enter(link, FIREFOX)


async def test_the_state_file_holds_no_secret(tmp_path: Path, clock: FixedClock) -> None:
    async with StateDatabase(tmp_path / "state.db", [SCHEMA]) as database:
        sign_ins = SignIns(SqliteSignInStore(database), clock=clock)
        link = await sign_ins.link("olga", "approver")
        secret, _ = await sign_ins.begin("olga", "approver", FIREFOX, by="link")

        kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert link.encode() not in kept
    assert secret.encode() not in kept
    assert b"olga" in kept
