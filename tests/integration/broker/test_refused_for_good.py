"""What a person said of one call holds for that call: a no for the run, a yes once."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
