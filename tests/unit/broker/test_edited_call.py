"""A person changes a call instead of saying yes or no: what runs is theirs, decided like any other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from permissions.errors import ApprovalError, ApprovalInvalidError, SigningError
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.testing import Person, asking, memory_broker, permitted
from permissions.testing import denied as refused
from permissions.tools.call import ToolCall
from permissions.tools.denied import CallDenied
from wardline import tool

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.testing import MemoryBroker

PAID: list[tuple[str, str]] = []
OLGA, OTTO = Person("olga"), Person("otto")


@tool(effect="send", impact="high")
async def pay(to: str, amount: str) -> str:
    """Pays."""
    PAID.append((to, amount))
    return f"{amount} to {to}"


def decide(document: JsonObject) -> JsonObject:
    """Small amounts pass, large ones never do, all others need a person."""
    amount = float(document["resource"]["properties"]["args"]["amount"])
    if amount > 1000:
        return refused("test.too_much")
    asks = amount > 10 and document["context"]["approval"] is None
    return asking() if asks else permitted()


CALL = ToolCall("pay", {"to": "acme", "amount": "500"}, key="pay-1")


@pytest.fixture(autouse=True)
def nothing_paid() -> None:
    PAID.clear()


async def open_request(broker: MemoryBroker) -> str:
    (request,) = await broker.parts.approvals.listed(pending_only=True)
    return request.id


async def test_what_runs_is_the_edited_call_and_the_record_shows_both() -> None:
    async with (
        memory_broker([pay], decide=decide) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        made = {"to": "acme", "amount": "5"}
        await OLGA.answer(
            broker, await open_request(broker), "edit", arguments=made, note="as agreed"
        )
        ran = await broker.call(session, CALL)

    assert isinstance(ran, Completed)
    assert PAID == [("acme", "5")]
    assert '"amount":"5"' in ran.notes[0]
    intents = [
        json.loads(e.contents["arguments"]) for e in broker.trace.entries if e.type == "intent"
    ]
    assert intents == [{"to": "acme", "amount": "500"}] * 2 + [made]
    edited = [e for e in broker.trace.entries if e.type == "denied"][-1]
    assert edited.body["codes"] == ["approval.edited"]
    assert edited.body["answers"][0]["verdict"] == "edit"


async def test_an_edited_call_may_need_a_person_again_and_runs_once() -> None:
    async with (
        memory_broker([pay], decide=decide, people=(OLGA, OTTO)) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        made = {"to": "acme", "amount": "50"}
        await OLGA.answer(broker, await open_request(broker), "edit", arguments=made)
        waits = await broker.call(session, CALL)
        assert isinstance(waits, Denial)
        assert waits.kind == "pending"
        request = await broker.parts.approvals.get(await open_request(broker))
        assert json.loads(request.call.arguments) == made
        await OTTO.answer(broker, request.id)
        first = await broker.call(session, CALL)
        again = await broker.call(session, CALL)

    assert isinstance(first, Completed)
    assert isinstance(again, Completed)
    assert again.replayed
    assert PAID == [("acme", "50")]


async def test_policy_denies_an_edit_that_goes_too_far() -> None:
    async with (
        memory_broker([pay], decide=decide) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        made = {"to": "eve", "amount": "5000"}
        await OLGA.answer(broker, await open_request(broker), "edit", arguments=made)
        said = await broker.call(session, CALL)

    assert isinstance(said, Denial)
    assert said.code == "test.too_much"
    assert PAID == []


@pytest.mark.parametrize("made", [{"to": "acme"}, {"to": "acme", "amount": 5, "x": 1}])
async def test_an_edit_that_the_tool_does_not_take_is_refused(made: JsonObject) -> None:
    async with (
        memory_broker([pay], decide=decide) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        await OLGA.answer(broker, await open_request(broker), "edit", arguments=made)
        said = await broker.call(session, CALL)

    assert isinstance(said, Denial)
    assert said.code == "arguments.invalid"
    assert PAID == []


async def test_two_who_undo_each_others_edits_come_to_an_end() -> None:
    async with (
        memory_broker([pay], decide=decide) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        other = {"to": "acme", "amount": "400"}
        await OLGA.answer(broker, await open_request(broker), "edit", arguments=other)
        await broker.call(session, CALL)
        await OLGA.answer(
            broker, await open_request(broker), "edit", arguments=dict(CALL.arguments)
        )
        said = await broker.call(session, CALL)

    assert isinstance(said, Denial)
    assert said.code == "approval.edited"
    assert PAID == []


async def test_the_decorated_function_runs_with_the_edited_arguments() -> None:
    async with (
        memory_broker([pay], decide=decide) as broker,
        open_session(broker, user="alice"),
    ):
        with pytest.raises(CallDenied):
            await pay("acme", "500")
        made = {"to": "acme", "amount": "7"}
        await OLGA.answer(broker, await open_request(broker), "edit", arguments=made)
        assert await pay("acme", "500") == "7 to acme"

    assert PAID == [("acme", "7")]


async def test_an_edit_is_signed_and_is_another_call() -> None:
    async with (
        memory_broker([pay], decide=decide) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        request = await open_request(broker)
        with pytest.raises(ApprovalInvalidError, match="others than"):
            await OLGA.answer(broker, request, "edit", arguments=dict(CALL.arguments))
        for verdict, arguments in (("edit", None), ("approve", {"to": "x"})):
            with pytest.raises(SigningError):
                await OLGA.answer(broker, request, verdict, arguments=arguments)  # type: ignore[arg-type]
        with pytest.raises(ApprovalError):
            await Person("eve").answer(broker, request, "edit", arguments={"to": "eve"})


async def test_the_agent_hears_what_a_person_said_with_their_no() -> None:
    async with (
        memory_broker([pay], decide=decide) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        await OLGA.answer(
            broker, await open_request(broker), "deny", note="ask me on\x1b Monday"
        )
        said = await broker.call(session, CALL)

    assert isinstance(said, Denial)
    assert said.reasons[0].agent.endswith('They said: "ask me on\\x1b Monday"')


async def test_an_approval_may_be_given_late_and_used_within_its_own_time() -> None:
    def patient(document: JsonObject) -> JsonObject:
        asks = document["context"]["approval"] is None
        return asking(expires_in_seconds=7 * 86_400) if asks else permitted()

    async with (
        memory_broker([pay], decide=patient) as broker,
        open_session(broker, user="alice") as session,
    ):
        await broker.call(session, CALL)
        broker.clock.advance(6 * 86_400)
        await OLGA.answer(broker, await open_request(broker))
        broker.clock.advance(3500)
        ran = await broker.call(session, CALL)
        assert isinstance(ran, Completed)

        late = ToolCall("pay", dict(CALL.arguments), key="pay-2")
        await broker.call(session, late)
        await OLGA.answer(broker, await open_request(broker))
        broker.clock.advance(3601)
        again = await broker.call(session, late)

    assert isinstance(again, Denial)
    assert again.kind == "pending"  # people are asked anew
    assert len(PAID) == 1
