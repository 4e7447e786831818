"""Remembered approvals: narrow, counted, revocable, and never more than a person's own yes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from permissions.approval.grant import Constraint, Grant, proposed, sign_grant
from permissions.errors import ApprovalError, ApprovalInvalidError, ApproverRefusedError
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.stops.scope import Scope
from permissions.testing import Person, asking, memory_broker, permitted
from permissions.testing import denied as refused
from permissions.tools.call import ToolCall
from permissions.trace.restated import CallFacts, Opened
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from permissions.approval.model import AccessRequest
    from permissions.model import JsonObject
    from permissions.run.state import RunState
    from permissions.testing import MemoryBroker

OLGA, OTTO = Person("olga"), Person("otto", ("kitchen",))


@tool(effect="send", impact="high", control=["to", "amount"])
async def pay(to: str, amount: str, note: str = "") -> str:
    """Pays."""
    return f"{amount} to {to}"


def decide(document: JsonObject) -> JsonObject:
    return asking() if document["context"]["approval"] is None else permitted()


def call(to: str = "acme", amount: str = "20.00", note: str = "") -> ToolCall:
    return ToolCall("pay", {"to": to, "amount": amount, "note": note})


@asynccontextmanager
async def asked(
    decide: Callable[[JsonObject], Any] = decide, **session: Any
) -> AsyncIterator[tuple[MemoryBroker, RunState, AccessRequest]]:
    options = {"user": "alice", "agent": "bot", **session}
    async with (
        memory_broker([pay], decide=decide, people=(OLGA, OTTO)) as broker,
        open_session(broker, **options) as run,
    ):
        await broker.call(run, call())
        (request,) = await broker.parts.approvals.listed(pending_only=True)
        yield broker, run, request


def grant(
    broker: MemoryBroker, request: AccessRequest, by: Person = OLGA, **changes: Any
) -> Grant:
    said = {
        "id": "grant-1",
        "request": request.id,
        "tool": request.call.tool,
        "tool_digest": request.call.tool_digest,
        "subject": request.call.subject,
        "on_behalf_of": request.call.on_behalf_of,
        "workspace": request.call.workspace,
        "constraints": proposed(request)
        | {"amount": Constraint(kind="at_most", value='"50.00"')},
        "until": broker.clock() + 3_600_000_000,
        "uses": 2,
        "approver": by.name,
        "time": broker.clock(),
    }
    return Grant(**{**said, **changes})


async def remember(broker: MemoryBroker, request: AccessRequest, **changes: Any) -> None:
    made = grant(broker, request, **changes)
    await broker.parts.approvals.remember(sign_grant(made, OLGA.signer))


async def test_calls_like_it_run_without_a_question_as_often_as_was_said() -> None:
    async with asked() as (broker, run, request):
        await remember(broker, request)
        results = [
            await broker.call(run, call(amount="50", note=str(number))) for number in range(3)
        ]
        kept = (await broker.parts.approvals.grants())[0]
        entries = list(broker.trace.entries)

    assert [type(each) for each in results] == [Completed, Completed, Denial]
    assert kept.used == 2
    used = [each for each in entries if each.type == "grant"]
    assert [each.body["use"] for each in used] == [1, 2]
    for entry, changes, found in (
        (used[0], {}, 0),
        (used[0], {"use": 3}, 1),
        (used[0], {"approver": "bob"}, 1),
    ):
        opened = Opened(
            "grant",
            {**entry.body, **changes},
            frozenset(entry.contents),
            entry.contents,
            lambda *_: [],
        )
        assert len(list(CallFacts().contradictions(opened))) == found


@pytest.mark.parametrize(
    "other",
    [
        call(to="eve"),
        call(amount="50.01"),
        call(amount="-1"),
        call(amount="1e1"),
        call(amount=""),
        call(amount="fifty"),
    ],
    ids=["to", "more", "less than none", "exponent", "empty", "words"],
)
async def test_any_other_call_is_asked_about(other: ToolCall) -> None:
    async with asked() as (broker, run, request):
        await remember(broker, request)
        assert isinstance(await broker.call(run, other), Denial)
        assert (await broker.parts.approvals.grants())[0].used == 0


async def test_it_is_for_that_agent_and_that_person_alone() -> None:
    async with asked() as (broker, _, request):
        await remember(broker, request)
        for options in ({"user": "bob", "agent": "bot"}, {"user": "alice", "agent": "other"}):
            async with open_session(broker, **options) as run:
                assert isinstance(await broker.call(run, call()), Denial)


async def test_it_ends_with_its_time_and_when_it_is_revoked() -> None:
    async with asked() as (broker, run, request):
        await remember(broker, request)
        await broker.parts.approvals.revoke_grant("grant-1")
        assert isinstance(await broker.call(run, call(amount="1")), Denial)
        await remember(broker, request, id="grant-2")
        broker.clock.advance(3601)
        assert isinstance(await broker.call(run, call(amount="2")), Denial)


async def test_of_many_at_once_no_more_run_than_it_has_uses() -> None:
    async with asked() as (broker, run, request):
        await remember(broker, request)
        results: list[object] = []

        async def one(number: int) -> None:
            results.append(await broker.call(run, call(amount="1", note=str(number))))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)

    assert sum(isinstance(each, Completed) for each in results) == 2


async def test_policy_is_asked_with_it_and_may_want_a_person_all_the_same() -> None:
    def strict(document: JsonObject) -> JsonObject:
        approval = document["context"]["approval"]
        if approval is not None and approval["id"].startswith("grant-"):
            return refused("approval.always_ask")
        return decide(document)

    async with asked(strict) as (broker, run, request):
        await remember(broker, request)
        said = await broker.call(run, call(amount="1"))
        assert isinstance(said, Denial)
        assert said.kind == "pending"
        assert (await broker.parts.approvals.grants())[0].used == 0


async def test_what_takes_two_people_is_never_remembered() -> None:
    def two(document: JsonObject) -> JsonObject:
        asks = document["context"]["approval"] is None
        return asking("operators", "kitchen", quorum=2) if asks else permitted()

    async with asked(two) as (broker, _, request):
        with pytest.raises(ApproverRefusedError, match="two people"):
            await remember(broker, request)


async def test_nobody_remembers_more_than_they_could_approve() -> None:
    async with asked() as (broker, _, request):
        approvals = broker.parts.approvals
        for made, signer in (
            (grant(broker, request, OTTO), OTTO.signer),  # in another group
            (grant(broker, request, Person("eve")), Person("eve").signer),
            (grant(broker, request), OTTO.signer),  # in olga's name
        ):
            with pytest.raises(ApprovalError):
                await approvals.remember(sign_grant(made, signer))


WIDER: dict[str, dict[str, Any]] = {
    "no constraint": {"constraints": {}},
    "one is missing": {"constraints": {"to": Constraint(kind="equals", value='"acme"')}},
    "another recipient": {
        "constraints": {
            "to": Constraint(kind="equals", value='"eve"'),
            "amount": Constraint(kind="at_most", value='"50"'),
        }
    },
    "no values": {"constraints": {"to": Constraint(kind="one_of", value="[]")}},
    "no JSON": {"constraints": {"to": Constraint(kind="equals", value="acme")}},
    "no number": {"constraints": {"amount": Constraint(kind="at_most", value='"NaN"')}},
    "another agent": {"subject": "other"},
    "for ever": {"until": 2**52},
    "for oneself": {"on_behalf_of": "user:olga"},
}


@pytest.mark.parametrize("name", WIDER)
async def test_one_that_is_wider_than_the_call_at_hand_is_refused(name: str) -> None:
    async with asked() as (broker, _, request):
        with pytest.raises(ApprovalInvalidError):
            await remember(broker, request, **WIDER[name])


async def test_without_the_makers_key_it_counts_no_more() -> None:
    async with asked() as (broker, run, request):
        await remember(broker, request)
        approvals = broker.parts.approvals
        left = [each for each in approvals._approvers if each.id != "olga"]
        approvals._approvers = type(approvals._approvers)(
            [*left, type(left[0])("olga", frozenset({"operators"}), Person("x").signer.public)]
        )
        assert isinstance(await broker.call(run, call(amount="1")), Denial)


@tool(name="pay", effect="irreversible", impact="high", control=["to", "amount"])
async def pay_for_good(to: str, amount: str, note: str = "") -> str:
    """Pays, and nobody can undo it."""
    return f"{amount} to {to}"


@pytest.mark.parametrize(
    ("which", "runs"), [(pay, True), (pay_for_good, False)], ids=["send", "irreversible"]
)
async def test_the_shipped_policies_say_what_may_be_remembered(which: Any, runs: bool) -> None:  # noqa: FBT001
    async with (
        memory_broker([which], people=(OLGA,)) as broker,
        open_session(broker, user="alice", agent="bot", prompt="pay acme 20.00") as run,
    ):
        await broker.call(run, call())
        (request,) = await broker.parts.approvals.listed(pending_only=True)
        await remember(broker, request)
        result = await broker.call(run, call(amount="20.00", note="again"))

    assert isinstance(result, Completed) == runs


@pytest.mark.parametrize(
    ("scope", "revoked"),
    [
        (Scope("tool", "pay"), ["grant-1"]),
        (Scope("agent", "bot"), ["grant-1"]),
        (Scope("all"), ["grant-1"]),
        (Scope("agent", "other"), []),
        (Scope("run", "r"), []),
    ],
    ids=str,
)
async def test_what_was_remembered_of_a_stopped_tool_or_agent_is_revoked(
    scope: Scope, revoked: list[str]
) -> None:
    async with asked(run="r") as (broker, run, request):
        await remember(broker, request)
        proof = await broker.stopping.stop(scope, reason="odd", by="ben")
        assert proof.grants == revoked
        await broker.stopping.resume(proof.stop, reason="fine", by="ben", terms=None)
        again = await broker.call(run, call())
        assert isinstance(again, Denial if revoked else Completed)
        (ended,) = (e for e in broker.trace.entries if e.body.get("phase") == "ended")
        assert ended.body["grants"] == len(revoked)
