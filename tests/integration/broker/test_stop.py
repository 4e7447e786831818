"""A stop bars calls at once, ends what runs, voids what was granted, and proves what it did."""

from __future__ import annotations

import json
import threading
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from permissions.approval.model import AccessRequest
from permissions.broker.resuming import lift
from permissions.errors import ApprovalError, TraceWriteError
from permissions.execution.base import Outcome
from permissions.model import AccessRequestTerms, Completed, Denial
from permissions.sessions.open import open_session
from permissions.stops.scope import Scope
from permissions.testing import Person, asking, memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.execution.base import Execution
    from permissions.model import JsonObject
    from permissions.run.state import RunState
    from permissions.testing import MemoryBroker

pytestmark = pytest.mark.anyio
GATE: list[Any] = []


@tool(effect="read", impact="low")
async def look() -> str:
    """Looks."""
    return "seen"


@tool(effect="read", impact="low")
async def linger() -> str:
    """Waits for what never comes."""
    await anyio.sleep_forever()
    return "never"


@tool(effect="read", impact="low")
def hold() -> str:
    """Goes on in its thread, whatever is said."""
    GATE[0].wait(60)
    return "went on"


@tool(effect="read", impact="low")
async def stubborn() -> str:
    """Does not end when it is told to."""
    with anyio.CancelScope(shield=True):
        while not GATE[0].is_set():  # noqa: ASYNC110 - of another thread
            await anyio.sleep(0.01)
    return "late"


@tool(effect="read", impact="low", sandbox="process")
def boxed() -> str:
    """Runs behind a boundary."""
    return "inside"


class Sandbox:
    """An executor whose runs end by cancellation alone."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.gone: list[str] = []
        self.begun = anyio.Event()

    def enforces(self, _: Execution) -> JsonObject:
        return {"boundary": "process"}

    async def execute(self, execution: Execution) -> Outcome:
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.append(execution.definition.name)
        return Outcome("ok")

    async def end_run(self, run: str) -> None:
        self.gone.append(run)


TOOLS = [look, linger, hold, stubborn, boxed]


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[tuple[MemoryBroker, RunState]]:
    GATE[:] = [threading.Event()]
    decide = options.pop("decide", lambda _: permitted())
    async with (
        memory_broker(TOOLS, decide=decide, **options) as broker,
        open_session(broker, user="kim", agent="bot", run="r") as session,
    ):
        yield broker, session


async def stopped(broker: MemoryBroker, scope: Scope, reason: str = "odd") -> Any:
    return await broker.stopping.stop(scope, reason=reason, by="ben (uid 7)")


def codes(result: object) -> list[str]:
    assert isinstance(result, Denial), result
    return [each.code for each in result.reasons]


@pytest.mark.parametrize(
    "scope",
    [Scope("all"), Scope("run", "r"), Scope("agent", "bot"), Scope("tool", "look")],
    ids=str,
)
async def test_no_call_of_the_scope_begins_until_it_is_lifted(scope: Scope) -> None:
    async with opened() as (broker, session):
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
        proof = await stopped(broker, scope)
        assert codes(await broker.call(session, ToolCall("look", {}))) == ["stop.in_force"]
        assert (await broker.explain(session, ToolCall("look", {}))).reasons[
            0
        ].code == "stop.in_force"
        broker.parts.stops.resume(proof.stop, reason="fine", by="ben")
        await broker.stopping.carry_out()
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
        kinds = [(each.type, each.body.get("phase")) for each in broker.trace.entries]
        assert [each for each in kinds if each[0] in ("stop", "resume")] == [
            ("stop", "begun"),
            ("stop", "ended"),
            ("resume", None),
        ]


@pytest.mark.parametrize(
    "scope",
    [Scope("run", "other"), Scope("agent", "kim"), Scope("tool", "linger")],
    ids=str,
)
async def test_others_go_on(scope: Scope) -> None:
    async with opened() as (broker, session):
        await stopped(broker, scope)
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)


async def test_a_result_of_before_is_not_given_again_while_it_is_stopped() -> None:
    async with opened() as (broker, session):
        call = ToolCall("look", {}, key="one")
        assert isinstance(await broker.call(session, call), Completed)
        await stopped(broker, Scope("run", "r"))
        assert codes(await broker.call(session, call)) == ["stop.in_force"]


async def test_what_runs_is_ended_and_what_cannot_be_is_named() -> None:
    sandbox = Sandbox()
    async with opened(executors={"process": sandbox}) as (broker, session):
        results: dict[str, Any] = {}

        async def call(name: str) -> None:
            results[name] = await broker.call(session, ToolCall(name, {}))

        async with anyio.create_task_group() as tasks:
            for name in ("linger", "hold", "boxed"):
                tasks.start_soon(call, name)
            await sandbox.begun.wait()
            with anyio.fail_after(60):
                while len(broker.stopping._in_hand) < 3 or not all(  # noqa: ASYNC110
                    each.admission.execution.halt.begun
                    for each in broker.stopping._in_hand.values()
                ):
                    await anyio.sleep(0.01)
            proof = await stopped(broker, Scope("all"))
            assert sandbox.ended == ["boxed"]
            assert sandbox.gone == ["r"]
            assert sorted(each["tool"] for each in proof.running) == ["boxed", "hold", "linger"]
            ended = {each["tool"]: each["status"] for each in proof.ended}
            assert ended == {"linger": "stopped", "boxed": "stopped"}
            (on,) = proof.not_stopped
            assert (on["tool"], "caller's own process" in on["why"]) == ("hold", True)
            GATE[0].set()
        assert codes(results["linger"]) == codes(results["boxed"]) == ["stop.ended_call"]
        assert isinstance(results["hold"], Completed)  # it ran, and its caller has it anyway
        begun, over = (e for e in broker.trace.entries if e.type == "stop")
        assert (begun.body["running"], over.body["ended"]) == (3, 2)
        assert over.body["running_on"] == [on["call"]]
        assert json.loads(over.contents["proof"]) == proof.document()


async def test_a_second_stop_ends_calls_while_the_first_is_waited_for() -> None:
    """The first one waits for a call that does not end."""
    async with opened() as (broker, session):
        results: dict[str, Any] = {}

        async def call(name: str) -> None:
            results[name] = await broker.call(session, ToolCall(name, {}))

        async with anyio.create_task_group() as tasks:
            for name in ("stubborn", "linger"):
                tasks.start_soon(call, name)
            with anyio.fail_after(60):
                while sum(h.admission.execution.halt.begun for h in _in_hand(broker)) < 2:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            tasks.start_soon(stopped, broker, Scope("tool", "stubborn"))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(stopped, broker, Scope("tool", "linger"))
            with anyio.fail_after(5):  # the first waits for ten
                while "linger" not in results:  # noqa: ASYNC110 - in a task of its own
                    await anyio.sleep(0.01)
            assert "stubborn" not in results
            GATE[0].set()
        assert codes(results["linger"]) == ["stop.ended_call"]


def _in_hand(broker: MemoryBroker) -> list[Any]:
    return [*broker.stopping._in_hand.values()]


async def test_a_grant_that_nobody_used_yet_is_void() -> None:
    async with opened() as (broker, session):
        admitted: Any = await broker.admit(session, ToolCall("look", {}))
        proof = await stopped(broker, Scope("tool", "look"))
        assert [each["status"] for each in proof.ended] == ["granted"]
        assert codes(await broker.complete(admitted)) == ["stop.in_force"]
        outcome = broker.trace.entries[-1]
        assert (outcome.type, outcome.body["status"]) == ("outcome", "not_run")


async def test_requests_and_unused_approvals_of_the_scope_are_void() -> None:
    """Also after it goes on: who approved before the stop did not know of it."""
    olga = Person()
    asked = lambda d: permitted() if d["context"]["approval"] else asking()  # noqa: E731
    async with opened(decide=asked) as (broker, session):
        first = await broker.call(session, ToolCall("look", {}))
        second = await broker.call(session, ToolCall("linger", {}))
        assert isinstance(first, Denial)
        assert isinstance(second, Denial)
        await olga.answer(broker, str(first.access_request))
        proof = await stopped(broker, Scope("agent", "bot"))
        assert proof.requests == [second.access_request]
        assert proof.approvals == [first.access_request]
        broker.parts.stops.resume(proof.stop, reason="fine", by="ben")
        assert codes(await broker.call(session, ToolCall("look", {}))) == ["stop.in_force"]
        await broker.stopping.carry_out()  # it goes on once that is on record
        again = await broker.call(session, ToolCall("look", {}))
        assert isinstance(again, Denial)
        assert again.kind == "pending"
        assert again.access_request not in (None, first.access_request)


async def test_who_waits_for_a_person_is_told_that_it_was_stopped() -> None:
    async with opened(decide=lambda _: asking(), approval_mode="wait") as (broker, session):
        results: list[object] = []

        async def call() -> None:
            results.append(await broker.call(session, ToolCall("look", {})))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            with anyio.fail_after(60):
                while not await broker.parts.approvals.listed(pending_only=True):  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            await stopped(broker, Scope("run", "r"))
        assert codes(results[0]) == ["stop.in_force"]


async def test_nothing_is_barred_by_a_record_that_fails() -> None:
    """The other way round: it is barred although it cannot be recorded, and the proof says so."""
    with pytest.raises(TraceWriteError):  # nor can the end of the run
        await _with_a_full_disk()


async def _with_a_full_disk() -> None:
    async with opened() as (broker, session):
        broker.trace.fail("disk full")
        proof = await stopped(broker, Scope("all"))
        assert proof.recorded is None
        assert "disk full" in proof.fault
        assert codes(await broker.call(session, ToolCall("look", {}))) == ["stop.in_force"]
        assert broker.parts.stops.recorded == 0


async def test_a_tool_within_a_sub_agents_run_is_covered_by_its_senders_stop() -> None:
    from permissions.sessions.delegate import open_delegate

    async with opened() as (broker, session):
        may = {"tools": ["look"]}
        async with open_delegate(broker, session, agent="helper", may=may, run="sub") as sub:
            assert isinstance(await broker.call(sub, ToolCall("look", {})), Completed)
            await stopped(broker, Scope("run", "r"))
            assert codes(await broker.call(sub, ToolCall("look", {}))) == ["stop.in_force"]


TERMS = AccessRequestTerms(approvers=("operators",), quorum=1)


async def test_a_stop_of_everything_is_lifted_by_another_person() -> None:
    people = [Person("olga"), Person("ben")]
    async with opened(people=people) as (broker, session):
        proof = await stopped(broker, Scope("all"))
        parts = broker.parts
        go_on = partial(lift, proof.stop, parts.stops, parts.approvals, by="kim (uid 1)")
        asked = await go_on(reason="fine", terms=TERMS)
        assert isinstance(asked, AccessRequest)
        assert asked.status == "pending"
        with pytest.raises(ApprovalError, match="ben asked for this call or is the one"):
            await people[1].answer(broker, asked.id)  # who stopped it
        assert parts.stops.in_force() == (proof.stop,)
        await people[0].answer(broker, asked.id)
        assert not isinstance(await go_on(reason="fine", terms=TERMS), AccessRequest)
        await broker.stopping.carry_out()
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
        (entry,) = (each for each in broker.trace.entries if each.type == "resume")
        assert entry.body["request"] == asked.id
        assert entry.contents["shown"] == asked.shown.encode()
        assert "envelope_0" in entry.contents


async def test_a_no_keeps_it_stopped() -> None:
    async with opened() as (broker, _):
        proof = await stopped(broker, Scope("all"))
        parts = broker.parts
        go_on = partial(lift, proof.stop, parts.stops, parts.approvals, by="kim", terms=TERMS)
        asked = await go_on(reason="fine")
        assert isinstance(asked, AccessRequest)
        await Person().answer(broker, asked.id, "deny")
        again = await go_on(reason="fine")
        assert isinstance(again, AccessRequest)
        assert (again.id, again.status) == (asked.id, "denied")
        anew = await go_on(reason="the key was changed")
        assert isinstance(anew, AccessRequest)
        assert anew.status == "pending"
        assert parts.stops.in_force()


async def test_a_stop_does_not_withdraw_the_question_whether_it_may_be_lifted() -> None:
    async with opened() as (broker, _):
        proof = await stopped(broker, Scope("all"))
        parts = broker.parts
        asked = await lift(
            proof.stop, parts.stops, parts.approvals, by="kim", reason="fine", terms=TERMS
        )
        assert isinstance(asked, AccessRequest)
        await stopped(broker, Scope("all"), "once more")
        assert (await parts.approvals.get(asked.id)).status == "pending"
