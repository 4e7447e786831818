"""What a person said of one call holds for that call: a no for the run, a yes once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.testing import MemoryBroker, Person, asking, memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from permissions.approval.model import Verdict
    from permissions.model import CallResult, JsonObject
    from permissions.run.state import RunState

OLGA = Person()


@tool(effect="write", impact="high")
async def wipe(disk: str) -> str:
    """Wipes."""
    return f"wiped {disk}"


@tool(effect="write", impact="high")
async def mend(disk: str) -> str:
    """Mends."""
    return f"mended {disk}"


def decide(document: JsonObject) -> JsonObject:
    """Nothing without a person."""
    return permitted() if document["context"]["approval"] else asking()


async def asked(
    broker: MemoryBroker,
    session: RunState,
    verdict: Verdict | None = None,
    *,
    tool_name: str = "wipe",
    disk: str = "sda",
    key: str | None = None,
) -> CallResult:
    """What a call comes to; whoever is asked then answers."""
    result = await broker.call(session, ToolCall(tool_name, {"disk": disk}, key))
    if verdict is not None and isinstance(result, Denial) and result.access_request:
        await OLGA.answer(broker, result.access_request, verdict)
    return result


async def requests(broker: MemoryBroker) -> int:
    return len(await broker.parts.approvals.listed(pending_only=False))


async def test_a_no_is_not_asked_about_again_in_this_run_by_whatever_key() -> None:
    async with (
        memory_broker([wipe, mend], decide=decide) as broker,
        open_session(broker, user="kim", run="r") as session,
    ):
        first = await asked(broker, session, "deny")
        later = [await asked(broker, session, key=key) for key in (None, "1", "2", None)]
        assert await requests(broker) == 1
        others = [
            await asked(broker, session, tool_name="mend"),
            await asked(broker, session, disk="sdb"),
        ]

    assert isinstance(first, Denial)
    assert first.kind == "pending"
    for each in later:
        assert isinstance(each, Denial)
        assert (each.kind, each.code) == ("denied", "approval.denied")
    assert any("nobody is asked again" in str(each) for each in later)
    assert all(isinstance(each, Denial) and each.kind == "pending" for each in others)


async def test_a_no_stands_when_the_run_goes_on_and_not_in_another_run() -> None:
    async with memory_broker([wipe], decide=decide) as broker:
        async with open_session(broker, user="kim", run="r") as session:
            await asked(broker, session, "deny")
            await asked(broker, session)
        async with open_session(broker, user="kim", run="r") as session:
            again = await asked(broker, session)
        async with open_session(broker, user="kim", run="other") as session:
            elsewhere = await asked(broker, session)

    assert isinstance(again, Denial)
    assert again.code == "approval.denied"
    assert isinstance(elsewhere, Denial)
    assert elsewhere.kind == "pending"


async def test_an_approved_call_without_a_key_is_found_when_it_is_asked_for_again() -> None:
    """As through a decorated function; each further call of the kind is a call of its own."""
    async with (
        memory_broker([wipe], decide=decide) as broker,
        open_session(broker, user="kim") as session,
    ):
        held = await asked(broker, session)
        still = await asked(broker, session)
        assert isinstance(held, Denial)
        assert isinstance(still, Denial)
        assert still.access_request == held.access_request is not None
        await OLGA.answer(broker, held.access_request)

        ran = await asked(broker, session)
        next_one = await asked(broker, session)

    assert isinstance(ran, Completed)
    assert isinstance(next_one, Denial)
    assert next_one.access_request not in {None, held.access_request}


async def test_an_approved_call_is_found_when_the_run_goes_on_elsewhere() -> None:
    async with memory_broker([wipe], decide=decide) as broker:
        async with open_session(broker, user="kim", run="r") as session:
            await asked(broker, session, "approve")
            assert isinstance(await asked(broker, session), Completed)
            await asked(broker, session, "approve")
        async with open_session(broker, user="kim", run="r") as session:
            second = await asked(broker, session)
            third = await asked(broker, session)

    assert isinstance(second, Completed)
    assert isinstance(third, Denial)


async def all_asked(broker: MemoryBroker, calls: int) -> None:
    """Returns when so many calls have been put to people."""
    token = await broker.parts.approvals.changed(None)
    while sum(entry.type == "request" for entry in broker.trace.entries) < calls:
        with anyio.move_on_after(0.05):
            token = await broker.parts.approvals.changed(token)


async def test_of_identical_calls_at_once_each_approval_lets_one_run() -> None:
    """Asked for at the same time and without a key; whichever is approved, one runs, once."""
    results: list[CallResult] = []
    async with (
        memory_broker([wipe], decide=decide, approval_mode="wait") as broker,
        open_session(broker, user="kim") as session,
        anyio.create_task_group() as group,
    ):

        async def call() -> None:
            results.append(await asked(broker, session))

        for _ in range(3):
            group.start_soon(call)
        await all_asked(broker, 3)
        for ran in range(1, 4):
            (pending,) = await broker.parts.approvals.listed(pending_only=True)
            await OLGA.answer(broker, pending.id)
            with anyio.fail_after(60):
                await all_asked(broker, 3 + sum(range(3 - ran, 3)))
                while len(results) < ran:  # noqa: ASYNC110 - nothing to wait on
                    await anyio.sleep(0.01)
            assert len(results) == ran

        assert await requests(broker) == 3

    assert all(isinstance(each, Completed) for each in results)


@pytest.mark.parametrize("leaves", ["first", "second"])
async def test_an_approval_is_found_by_the_call_it_is_for_whoever_opened_it(
    leaves: str,
) -> None:
    """Of two identical calls that wait one gives up: the other runs by the approval, once."""
    ran: dict[str, CallResult] = {}
    async with (
        memory_broker([wipe], decide=decide, approval_mode="wait") as broker,
        open_session(broker, user="kim") as session,
    ):
        scopes = {name: anyio.CancelScope() for name in ("first", "second")}

        async def call(name: str) -> None:
            with scopes[name]:
                ran[name] = await asked(broker, session)

        async with anyio.create_task_group() as group:
            for name in scopes:
                group.start_soon(call, name)
            await all_asked(broker, 2)
            scopes[leaves].cancel()
            last = (await broker.parts.approvals.listed(pending_only=True))[-1]
            await OLGA.answer(broker, last.id)

        (stays,) = scopes.keys() - {leaves}
        assert isinstance(ran.pop(stays), Completed)
        assert not ran
        assert sum(entry.type == "start" for entry in broker.trace.entries) == 1


async def test_of_calls_that_are_held_at_once_the_approved_one_runs_when_asked_again() -> None:
    """In a session that does not wait, both come back pending, and only one was approved."""
    held: list[CallResult] = []
    async with memory_broker([wipe], decide=decide) as broker:
        async with open_session(broker, user="kim", run="r") as session:

            async def call() -> None:
                held.append(await asked(broker, session))

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                group.start_soon(call)
            last = (await broker.parts.approvals.listed(pending_only=True))[-1]
            await OLGA.answer(broker, last.id)
            again = await asked(broker, session)
        async with open_session(broker, user="kim", run="r") as session:
            other = await asked(broker, session)

    assert all(isinstance(each, Denial) and each.kind == "pending" for each in held)
    assert isinstance(again, Completed)
    assert isinstance(other, Denial)
    assert other.access_request != last.id
