"""What always holds of a broker, whatever its ports, its policies and its callers do."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from effort import tries
from faults import Point, findings, tapped, types_of, yielding
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from json_values import SAFE_SCALARS, json_values
from people import first_pending

from permissions.errors import (
    ApprovalError,
    BrokerError,
    ExecutionError,
    PdpAnswerError,
    PdpTimeoutError,
    PdpUnavailableError,
    PdpUndefinedError,
    StateError,
    TraceWriteError,
)
from permissions.model import Completed, Denial
from permissions.reasons import Code
from permissions.sessions.open import open_session
from permissions.testing import (
    Person,
    asking,
    denied,
    memory_broker,
    permitted,
)
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from permissions.broker.broker import PermissionBroker
    from permissions.model import CallResult, JsonObject
    from permissions.run.state import RunState
    from permissions.testing import MemoryBroker

RAN: list[str] = []
SECRET = "x-marks-the-value"


@tool(effect="write", impact="low", output="trusted")
async def act(text: str, more: Any = None) -> str:
    """Notes that it ran."""
    RAN.append(text)
    await anyio.lowlevel.checkpoint()
    return f"did {text}"


@tool(effect="write", impact="low")
async def pay(order: Any) -> None:
    """Notes what it was given."""
    RAN.append(str(order))


CALL = ToolCall("act", {"text": SECRET}, key="the-call")
ATTACHED = {"id": "t.budget", "type": "budget", "properties": {"name": "cost", "amount": 1}}


def with_a_person(document: JsonObject) -> JsonObject:
    """Wants a person first, and takes from a budget."""
    return asking() if document["context"]["approval"] is None else permitted(ATTACHED)


@asynccontextmanager
async def governed(
    decide: Callable[[JsonObject], Any] = with_a_person, **options: Any
) -> AsyncIterator[tuple[MemoryBroker, RunState]]:
    """A broker in memory with one session; nothing ran yet."""
    RAN.clear()
    async with (
        memory_broker([act, pay], decide=decide) as broker,
        open_session(
            broker, **{"user": "alice", "budgets": {"calls": 60, "cost": 60}, **options}
        ) as session,
    ):
        yield broker, session


async def approved(broker: MemoryBroker, session: RunState, call: ToolCall = CALL) -> None:
    """The call was asked about and approved, and has not run."""
    pending = await broker.call(session, call)
    assert isinstance(pending, Denial)
    assert pending.access_request is not None
    await Person().answer(broker, pending.access_request)


# -- nothing runs without a permit and a record of it ---------------------------------------


async def test_a_call_is_recorded_before_it_runs_and_after() -> None:
    """Intent, decisions, approval and start stand in the record when the tool begins."""
    async with governed() as (broker, session):
        await approved(broker, session)
        seen: list[list[str]] = []
        call = "call-4"
        point = Point("trace", "append", 3)

        async def look() -> None:
            seen.append(types_of(broker.trace.entries, call))

        result = await tapped(broker, session, point, look).call(session, CALL)

    assert isinstance(result, Completed)
    assert result.call == call
    before = ["intent", "decision", "request", "approval", "decision", "start"]
    assert seen == [before]
    assert types_of(broker.trace.entries, call) == [*before, "outcome"]
    assert set(broker.trace.barriers) == {"durable"}
    assert findings(broker.trace.entries) == []


ANSWERS = st.one_of(
    st.just(permitted()),
    st.just(denied()),
    st.just(asking()),
    st.just(asking("nobody")),
    st.just(permitted(ATTACHED)),
    st.builds(lambda kind: permitted({**ATTACHED, "type": kind}), st.text(max_size=8)),
    st.builds(
        lambda given: permitted({**ATTACHED, "properties": given}),
        st.dictionaries(st.sampled_from(["name", "amount", "x"]), st.integers() | st.text()),
    ),
    st.builds(lambda answer, key: {**answer, key: True}, st.just(permitted()), st.text()),
    st.builds(
        lambda key, value: {
            "decision": True,
            "context": {**permitted()["context"], key: value},
        },
        st.sampled_from(["reasons", "obligations", "access_request", "rules", "extra"]),
        st.sampled_from([None, [], {}, True, "x", 1]),
    ),
    st.sampled_from([None, True, 1, "allow", [], {}, {"decision": True}, {"allow": True}]),
    st.builds(lambda value: {**permitted(), "decision": value}, st.sampled_from([1, "true"])),
)
OBJECT = permitted()


@given(ANSWERS)
def test_only_a_well_formed_permit_lets_a_tool_run(answer: Any) -> None:
    """Whatever else a policy answers is a recorded denial with a reason."""

    async def main() -> tuple[CallResult, MemoryBroker]:
        async with governed(lambda _: answer) as (broker, session):
            return await broker.call(session, CALL), broker

    result, broker = anyio.run(main)

    assert findings(broker.trace.entries) == []
    if RAN:
        assert answer in (permitted(), permitted(ATTACHED)) or set(answer) == set(OBJECT)
        assert answer["decision"] is True
        assert answer["context"]["access_request"] is None
    else:
        assert isinstance(result, Denial)
        assert result.reasons[0].agent
        assert types_of(broker.trace.entries, result.call)[-1] == "denied"


# -- whatever fails on the way is a denial ---------------------------------------------------

BEFORE = [
    Point("registry", "find"),
    Point("clock", "__call__"),
    Point("budgets", "used"),
    Point("journal", "find"),
    Point("pdp", "evaluate"),
    Point("approvals", "submit"),
    Point("trace", "append"),
    Point("approvals", "verify"),
    Point("pdp", "evaluate", 2),
    Point("budgets", "reserve"),
    Point("approvals", "consume"),
    Point("journal", "begin"),
    Point("trace", "append", 2),
]
"""Every use of a port before the tool runs, in the order of the flow."""
AFTER = [
    Point("trace", "append", 3),
    Point("budgets", "settle"),
    Point("journal", "finish"),
]
ERRORS = [
    PdpTimeoutError(SECRET),
    PdpUnavailableError(SECRET),
    PdpUndefinedError(SECRET),
    PdpAnswerError(SECRET),
    ApprovalError(SECRET),
    StateError(SECRET),
    ExecutionError(SECRET),
    TraceWriteError(SECRET),
    TimeoutError(SECRET),
    OSError(28, "No space left on device", SECRET),
    KeyError(SECRET),
    RuntimeError(SECRET),
]


def raising(err: Exception) -> Callable[[], None]:
    def act_now() -> None:
        raise err

    return act_now


def side(points: list[Point], which: str) -> list[Point]:
    return [Point(p.port, p.method, p.nth, which) for p in points]


@pytest.mark.parametrize("point", [*BEFORE, *side(BEFORE, "after")], ids=str)
@pytest.mark.parametrize("err", ERRORS, ids=lambda err: type(err).__name__)
async def test_an_error_at_any_port_denies_with_a_reason_and_runs_nothing(
    point: Point, err: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """And the denial is recorded, unless it is the record that fails."""
    async with governed() as (broker, session):
        await approved(broker, session)
        with caplog.at_level(logging.DEBUG):
            result = await tapped(broker, session, point, raising(err)).call(session, CALL)
        used = await broker.parts.budgets.used(session.run)

    assert RAN == []
    assert isinstance(result, Denial)
    assert result.kind in ("denied", "unavailable", "expired")
    assert result.reasons[0].agent
    if point.port == "budgets" and point.side == "after":
        assert used["cost"] <= 1  # taken by a ledger that failed: early rather than late
    else:
        assert used == {"calls": 0, "cost": 0}
    if not (point.port == "trace" and point.side == "after"):
        assert findings(broker.trace.entries) == []
        assert types_of(broker.trace.entries, result.call)[0] == "intent"
        assert types_of(broker.trace.entries, result.call)[-1] == "denied"
    assert SECRET not in json.dumps(result.for_agent()) + str(result)
    assert isinstance(err, BrokerError) or SECRET not in caplog.text


@pytest.mark.parametrize("point", [*AFTER, *side(AFTER, "after")], ids=str)
@pytest.mark.parametrize("err", ERRORS, ids=lambda err: type(err).__name__)
async def test_an_error_after_the_run_withholds_the_result_and_nothing_runs_again(
    point: Point, err: Exception
) -> None:
    async with governed() as (broker, session):
        await approved(broker, session)
        result = await tapped(broker, session, point, raising(err)).call(session, CALL)
        again = await broker.call(session, CALL)

    assert RAN == [SECRET]
    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", Code.RESULT_WITHHELD)
    if point.side == "after" and point.port == "journal":
        assert isinstance(again, Completed)
        assert again.replayed
    else:
        assert isinstance(again, Denial)
        assert again.kind == "in_doubt"


@pytest.mark.parametrize("err", ERRORS, ids=lambda err: type(err).__name__)
async def test_a_denial_that_cannot_be_recorded_is_still_a_denial(err: Exception) -> None:
    async with governed(lambda _: denied()) as (broker, session):
        broken = tapped(broker, session, Point("trace", "append"), raising(err))
        result = await broken.call(session, CALL)

    assert isinstance(result, Denial)
    assert result.code == "test.denied"
    assert RAN == []


async def test_a_permit_that_cannot_be_recorded_is_a_denial() -> None:
    async with governed(lambda _: permitted()) as (broker, session):
        broker.trace.fail("the disk is full")
        result = await broker.call(session, CALL)
        broker.trace._failure = None

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", Code.TRACE_UNAVAILABLE)
    assert RAN == []


async def test_an_entry_the_log_refuses_does_not_take_the_denial_with_it() -> None:
    """A record too long for one line: the intent and the denial still stand there."""
    answer = permitted()
    answer["context"]["rules"] = [f"rule.number{n}" for n in range(9000)]
    async with governed(lambda _: answer) as (broker, session):
        result = await broker.call(session, CALL)

    assert isinstance(result, Denial)
    assert result.code == Code.TRACE_UNAVAILABLE
    assert RAN == []


# -- giving up -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point", [*BEFORE, *side(BEFORE, "after"), *AFTER, *side(AFTER, "after")], ids=str
)
async def test_giving_up_anywhere_leaves_a_call_with_an_end(point: Point) -> None:
    """And whoever gave up never gets a result, nor a second run by asking again."""
    async with governed() as (broker, session):
        await approved(broker, session)
        with anyio.CancelScope() as scope:

            async def give_up() -> None:
                scope.cancel()
                await anyio.lowlevel.checkpoint()

            plain = point.port in ("registry", "clock")
            acting = scope.cancel if plain else give_up
            await tapped(broker, session, point, acting).call(session, CALL)
            await anyio.lowlevel.checkpoint()
        await broker.call(session, CALL)

    calls = {entry.call for entry in broker.trace.entries if entry.call is not None}
    assert scope.cancelled_caught
    assert len(RAN) <= 1
    assert findings(broker.trace.entries) == []
    for call in calls:
        assert types_of(broker.trace.entries, call)[-1] in ("denied", "outcome")


async def test_giving_up_while_the_start_is_written_runs_nothing() -> None:
    """The start stands in the record, so the end does too, as a call that was cancelled."""
    async with governed(lambda _: permitted()) as (broker, session):
        with anyio.CancelScope() as scope:
            point = Point("trace", "append", 1, "after")
            await tapped(broker, session, point, scope.cancel).call(session, CALL)

    outcome = broker.trace.entries[-2]
    assert scope.cancelled_caught
    assert RAN == []
    assert (outcome.type, outcome.body["status"]) == ("outcome", "cancelled")
    assert findings(broker.trace.entries) == []


# -- approvals -------------------------------------------------------------------------------

JSON = json_values(SAFE_SCALARS, leaves=5)


@given(JSON, JSON)
def test_an_approval_holds_for_exactly_what_was_shown(shown: Any, called: Any) -> None:
    """One changed value, and a person has to be asked again."""
    assume(json.dumps(shown, sort_keys=True) != json.dumps(called, sort_keys=True))

    async def main() -> tuple[CallResult, CallResult]:
        async with governed() as (broker, session):
            asked = ToolCall("act", {"text": "a", "more": shown}, key="same")
            other = ToolCall("act", {"text": "a", "more": called}, key="same")
            await approved(broker, session, asked)
            return await broker.call(session, other), await broker.call(session, asked)

    other, asked = anyio.run(main)

    assert isinstance(other, Denial)
    assert other.kind == "pending"
    assert isinstance(asked, Completed)
    assert RAN == ["a"]


async def test_what_a_caller_changes_while_a_person_decides_does_not_run() -> None:
    """The arguments are the caller's own objects, and the answer takes a while."""
    more = {"amounts": [1]}
    call = ToolCall("pay", {"order": more})
    async with governed(approval_mode="wait") as (broker, session):
        approvals = broker.parts.approvals
        results: list[CallResult] = []

        async def pay() -> None:
            results.append(await broker.call(session, call))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pay)
            held = await first_pending(approvals)
            more["amounts"][0] = 1_000_000
            await Person().answer(broker, held.id)

    assert json.loads(held.call.arguments) == {"order": {"amounts": [1]}}
    assert isinstance(results[0], Completed)
    assert RAN == ["{'amounts': [1]}"]


RACERS = 50


async def results_of(
    broker: PermissionBroker, session: RunState, calls: list[ToolCall]
) -> list[CallResult]:
    """All at once; every port lets the others run."""
    results: list[CallResult] = []
    shared = yielding(broker, session)

    async def one(call: ToolCall) -> None:
        results.append(await shared.call(session, call))

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(one, call)
    return results


@pytest.mark.parametrize("key", ["the-call", None], ids=["one key", "no key"])
async def test_an_approval_is_used_once_by_fifty_racers(key: str | None) -> None:
    """One of them is the call a person saw; without a key the others are further calls."""
    async with governed() as (broker, session):
        call = ToolCall("act", {"text": "once"}, key=key)
        await approved(broker, session, call)
        results = await results_of(broker, session, [call] * RACERS)
        again = await broker.call(session, call)
        requests = await broker.parts.approvals.listed(pending_only=False)

    ran = [result for result in results if isinstance(result, Completed)]
    assert len(RAN) == len(ran) == 1
    assert len(results) == RACERS
    used = [request for request in requests if request.consumed_at is not None]
    assert [request.status for request in used] == ["approved"]
    if key is None:
        kinds = {result.kind for result in results if isinstance(result, Denial)}
        assert kinds == {"pending"}
        assert isinstance(again, Denial)
        assert again.kind == "pending"
    else:
        assert isinstance(again, Completed)
        assert again.replayed
    assert findings(broker.trace.entries) == []


# -- budgets ---------------------------------------------------------------------------------


@settings(max_examples=tries(40))
@example(0, 0)
@example(RACERS, RACERS)
@example(RACERS - 1, RACERS + 1)
@given(st.integers(0, RACERS + 5), st.integers(0, RACERS + 5))
def test_a_budget_is_never_overshot(calls: int, cost: int) -> None:
    """Fifty at once take what is there and not one more; what is left is what nobody took."""

    async def main() -> tuple[list[CallResult], dict[str, int], MemoryBroker]:
        budgets = {"calls": calls, "cost": cost}
        async with governed(lambda _: permitted(ATTACHED), budgets=budgets) as (
            broker,
            session,
        ):
            many = [ToolCall("act", {"text": str(n)}) for n in range(RACERS)]
            results = await results_of(broker, session, many)
            return results, await broker.parts.budgets.used(session.run), broker

    results, used, broker = anyio.run(main)

    fits = min(calls, cost, RACERS)
    codes = {result.code for result in results if isinstance(result, Denial)}
    assert len(RAN) == fits
    assert used == {"calls": fits, "cost": fits}
    assert codes <= {Code.BUDGET_EXHAUSTED}
    assert findings(broker.trace.entries) == []


# -- what leaves the broker ------------------------------------------------------------------

WORD = st.from_regex(r"[QZXJ]{9}[0-9]{9}", fullmatch=True)  # no word of the broker


@given(WORD, WORD, st.sampled_from(["deny", "raise", "run"]))
def test_no_argument_result_or_operator_text_stands_where_it_must_not(
    argument: str, operator: str, ending: str
) -> None:
    """Not in the plain part of the record, and operators' words not before the agent."""
    assume(argument not in operator and operator not in argument)

    def decide(_: JsonObject) -> JsonObject:
        if ending == "raise":
            raise PdpUnavailableError(operator)
        return denied(operator=operator) if ending == "deny" else permitted()

    async def main() -> tuple[CallResult, MemoryBroker]:
        async with governed(decide) as (broker, session):
            return await broker.call(session, ToolCall("act", {"text": argument})), broker

    result, broker = anyio.run(main)

    plain = json.dumps([entry.body for entry in broker.trace.entries])
    assert argument not in plain
    assert operator not in plain
    if isinstance(result, Denial):
        assert operator not in json.dumps(result.for_agent()) + str(result)
        assert argument not in json.dumps(result.for_agent()) + str(result)
    sealed = b"".join(
        data for entry in broker.trace.entries for data in entry.contents.values()
    )
    assert argument.encode() in sealed
