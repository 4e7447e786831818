"""What a session remembers: who asks, labels, history, origins; and when it ends."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import pytest
from faults import types_of

from permissions.errors import BudgetError, ConfigError, RunOpenError
from permissions.model import Completed, Denial
from permissions.obligations.budget import InMemoryBudgetLedger
from permissions.reasons import Code
from permissions.run.past_calls import HISTORY, PastCalls
from permissions.run.provenance import ProvenanceLedger
from permissions.run.state import RunState, subject_of
from permissions.sessions.open import open_session
from permissions.testing import (
    NOON,
    Person,
    asking,
    memory_broker,
    permitted,
)
from permissions.tools.call import ToolCall
from wardline import FreeText, tool

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import JsonObject

SEEN: list[JsonObject] = []


def labelling(document: JsonObject) -> JsonObject:
    """Permits everything, notes what was asked, and labels sends."""
    SEEN.append(document)
    send = document["action"]["properties"]["effect"] == "send"
    return permitted(*([{"id": "l", "type": "label", "properties": {"add": ["sent"]}}] * send))


@pytest.fixture(autouse=True)
def nothing_seen_yet() -> None:
    SEEN.clear()


@tool(effect="read", impact="low", output="trusted")
async def trusted(text: str) -> str:
    """Reads what only we write."""
    return f"id-{text}"


@tool(effect="read", impact="low")
async def untrusted(text: str) -> str:
    """Reads what anybody writes."""
    return f"id-{text}"


@tool(effect="send", impact="low", output="trusted", control=["to"])
async def send(to: str) -> str:
    """Sends."""
    if to == "fail":
        raise ValueError(to)
    return "sent"


TOOLS = [trusted, untrusted, send]


@dataclass(frozen=True)
class Who:
    id: str
    given: dict[str, Any]
    type: str
    name: str
    on_behalf_of: str | None


WHO = [
    Who("nobody", {"user": None, "agent": None}, "user", "anonymous", None),
    Who("a person", {"user": "alice", "agent": None}, "user", "alice", None),
    Who("an agent", {"user": None, "agent": "bot"}, "agent", "bot", None),
    Who("an agent for a person", {"user": "a", "agent": "bot"}, "agent", "bot", "user:a"),
]


@pytest.mark.parametrize("who", WHO, ids=lambda who: who.id)
def test_the_subject_says_who_asks_and_for_whom(who: Who) -> None:
    found = subject_of(**who.given, roles=["b", "a"]).document()

    acts = [{"type": "user", "id": "a"}] if who.on_behalf_of else []
    assert (found["type"], found["id"]) == (who.type, who.name)
    assert found["properties"] == {
        "roles": ["a", "b"],
        "on_behalf_of": who.on_behalf_of,
        "act": acts,
        "delegation": None,
    }


BAD_NAMES = {
    "prefix": "user:sec1",
    "prefix in other letters": "\uff35ser\uff1asec1",
    "prefix of an agent": "Agent:bot",
    "prefix after a space": " user:sec1",
    "escape": "sec1\x1b[2J",
    "new line": "sec1\nadmin",
    "invisible": "sec\u200b1",
    "turned around": "\u202e1ces",
}


@pytest.mark.parametrize("role", ["user", "agent"])
@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_nobody_takes_a_name_that_reads_as_another(role: str, name: str) -> None:
    given = {"user": "alice", "agent": "bot", role: name}
    with pytest.raises(ConfigError) as caught:
        subject_of(**given, roles=())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "given",
    [
        {"user": 1},
        {"user": 0},
        {"user": b"kim"},
        {"agent": True},
        {"roles": "admin"},
        {"roles": [1]},
    ],
    ids=str,
)
def test_what_is_no_name_is_refused(given: dict[str, Any]) -> None:
    """`roles="admin"` gave the roles a, d, i, m and n."""
    with pytest.raises(ConfigError, match="give a"):
        subject_of(**{"user": None, "agent": None, "roles": (), **given})


@pytest.mark.parametrize("name", ["Zo\u00eb", "\u738b\u82b3", "a.b@example.org", "users: all"])
def test_people_have_names_of_any_script(name: str) -> None:
    assert subject_of(user=name, agent=None, roles=()).id == name


@pytest.mark.parametrize(
    ("first", "labels"),
    [
        (ToolCall("trusted", {"text": "x"}), []),
        (ToolCall("untrusted", {"text": "x"}), ["untrusted"]),
        (ToolCall("send", {"to": "x"}), ["sent", "untrusted"]),
        (ToolCall("send", {"to": "fail"}), ["sent", "untrusted"]),
        (ToolCall("nothing", {}), []),
    ],
    ids=["trusted read", "untrusted read", "a send", "a send that failed", "a refused call"],
)
async def test_what_ran_labels_the_session(first: ToolCall, labels: list[str]) -> None:
    """Only a trusted read leaves it as it was, and a call that never ran."""
    async with (
        memory_broker(TOOLS, decide=labelling) as broker,
        open_session(broker) as session,
    ):
        with contextlib.suppress(ValueError):
            await broker.call(session, first)
        await broker.call(session, ToolCall("trusted", {"text": "y"}))

    assert SEEN[-1]["context"]["labels"] == labels


async def test_an_argument_names_the_entry_of_the_outcome_it_was_read_from() -> None:
    async with (
        memory_broker([untrusted], decide=labelling) as broker,
        open_session(broker) as run,
    ):
        first = await broker.call(run, ToolCall("untrusted", {"text": "4711"}))
        assert isinstance(first, Completed)
        await broker.call(run, ToolCall("untrusted", {"text": first.value}))

        index = [each.type for each in broker.trace.entries].index("outcome")

    assert SEEN[-1]["context"]["provenance"]["/text"]["from"] == {
        "call": first.call,
        "entry": index,
        "pointer": "",
        "cut": None,
    }


async def test_the_history_is_bounded_and_tells_how_calls_ended() -> None:
    async with (
        memory_broker(TOOLS, decide=labelling) as broker,
        open_session(broker) as session,
    ):
        with pytest.raises(ValueError, match="fail"):
            await broker.call(session, ToolCall("send", {"to": "fail"}))
        await broker.call(session, ToolCall("trusted", {"text": "x"}))
        early = SEEN[-1]["context"]["history"]
        broker.clock.advance(60)
        for _ in range(HISTORY + 3):
            await broker.call(session, ToolCall("trusted", {"text": "x"}))

    assert early == [{"tool": "send", "effect": "send", "outcome": "error", "time": NOON}]
    late = SEEN[-1]["context"]["history"]
    assert len(late) == HISTORY
    assert {each["outcome"] for each in late} == {"ok"}
    assert {each["time"] for each in late} == {NOON + 60_000_000}


def test_past_calls_are_told_by_when_they_began() -> None:
    past = PastCalls()
    for number, time in ((1, 20), (2, 10), (3, 30)):
        past.begin(str(number), tool=f"t{number}", effect="read", time=time)
    before = past.document()
    past.end("1", "ok")
    past.drop("3")

    told = [(each["tool"], each["outcome"]) for each in past.document()]
    assert told == [("t2", "running"), ("t1", "ok")]
    assert [each["outcome"] for each in before] == ["running"] * 3
    assert past.begun == 3


async def test_an_argument_is_traced_to_the_output_it_came_from() -> None:
    async with (
        memory_broker(TOOLS, decide=labelling) as broker,
        open_session(broker, prompt="send it to id-person") as session,
    ):
        for reader, text in (("trusted", "mine"), ("untrusted", "theirs")):
            await broker.call(session, ToolCall(reader, {"text": text}))
        origins = []
        for to in ("id-mine", "id-theirs", "id-person", "id-nowhere"):
            await broker.call(session, ToolCall("send", {"to": to}))
            entry = SEEN[-1]["context"]["provenance"]["/to"]
            origins.append((entry["origin"], entry["source"], entry["trusted"]))

    assert origins == [
        ("unknown", None, False),  # vouched for, but it was fed by the agent
        ("tool", "untrusted", False),
        ("user", None, True),
        ("unknown", None, False),
    ]


async def test_a_session_that_ended_starts_nothing_more() -> None:
    async with memory_broker(TOOLS, decide=labelling) as broker:
        async with open_session(broker) as session:
            pass
        result = await broker.call(session, ToolCall("trusted", {"text": "x"}))

    assert isinstance(result, Denial)
    assert result.code == Code.SESSION_CLOSED
    assert types_of(broker.trace.entries, result.call) == ["intent", "denied"]


async def test_a_session_that_ends_while_a_person_decides_starts_nothing() -> None:
    def decide(document: JsonObject) -> JsonObject:
        return asking() if document["context"]["approval"] is None else permitted()

    results = []
    async with memory_broker(TOOLS, decide=decide, approval_mode="wait") as broker:
        approvals = broker.parts.approvals
        async with anyio.create_task_group() as tasks:
            async with open_session(broker) as session:

                async def ask() -> None:
                    call = ToolCall("trusted", {"text": "x"})
                    results.append(await broker.call(session, call))

                tasks.start_soon(ask)
                token = await approvals.changed(None)
                while not (held := await approvals.listed(pending_only=True)):
                    token = await approvals.changed(token)
            await Person().answer(broker, held[0].id)

    (result,) = results
    assert isinstance(result, Denial)
    assert result.code == Code.SESSION_CLOSED
    assert "start" not in types_of(broker.trace.entries, result.call)
    assert types_of(broker.trace.entries, result.call)[-1] == "denied"


async def test_a_run_has_one_session_at_a_time_and_its_record_says_how_it_ended() -> None:
    async with memory_broker(TOOLS, decide=labelling) as broker:
        async with open_session(broker, run="r"):
            with pytest.raises(RunOpenError):
                async with open_session(broker, run="r"):
                    pass
        with pytest.raises(KeyError):
            async with open_session(broker, run="r"):
                raise KeyError("the program's own")

    ends = [entry.body["status"] for entry in broker.trace.entries if entry.type == "run.end"]
    assert ends == ["complete", "failed"]


async def test_the_limits_of_a_run_stay() -> None:
    async with memory_broker(TOOLS, decide=labelling) as broker:
        async with open_session(broker, run="r", budgets={"calls": 1}) as session:
            await broker.call(session, ToolCall("trusted", {"text": "x"}))
        with pytest.raises(BudgetError, match="other limits"):
            async with open_session(broker, run="r", budgets={"calls": 9}):
                pass
        async with open_session(broker, run="r", budgets={"calls": 1}) as session:
            again = await broker.call(session, ToolCall("trusted", {"text": "x"}))

    assert isinstance(again, Denial)
    assert again.code == Code.BUDGET_EXHAUSTED


async def test_an_admission_runs_once() -> None:
    from permissions.broker.call import Admission
    from permissions.errors import ExecutionError

    async with (
        memory_broker(TOOLS, decide=labelling) as broker,
        open_session(broker) as session,
    ):
        admitted = await broker.admit(session, ToolCall("trusted", {"text": "x"}))
        assert isinstance(admitted, Admission)
        first = await broker.complete(admitted)
        with pytest.raises(ExecutionError, match="used before"):
            await broker.complete(admitted)

    assert isinstance(first, Completed)
    assert types_of(broker.trace.entries, admitted.id).count("outcome") == 1


@tool(effect="send", impact="low", confirms=True)
async def confirm(otp: Annotated[str, FreeText()]) -> str:
    """Completes what was begun."""
    if otp == "fail":
        raise ValueError(otp)
    return "done"


@tool(effect="write", impact="low")
async def note(text: Annotated[str, FreeText()]) -> str:
    """Writes a note."""
    return text


async def test_a_confirmation_is_of_one_effect_that_succeeded() -> None:
    seen: list[Any] = []

    async def call(name: str, **arguments: str) -> None:
        with contextlib.suppress(ValueError):
            await broker.call(session, ToolCall(name, arguments))
        if name == "confirm":
            seen.append(SEEN[-1]["resource"]["properties"]["confirms"])

    async with (
        memory_broker([trusted, send, confirm, note], decide=labelling) as broker,
        open_session(broker, user="ann") as session,
    ):
        await call("trusted", text="a")
        await call("note", text="a")
        await call("confirm", otp="1")
        await call("send", to="fail")
        await call("confirm", otp="1")
        await call("send", to="bob")
        await call("confirm", otp="fail")
        await call("confirm", otp="1")
        await call("confirm", otp="1")

    assert seen == [0, 0, 1, 1, 0]
    assert SEEN[0]["resource"]["properties"]["confirms"] is None


def moving(*minors: int, used: int = 0, limit: int | None = None) -> Any:
    return {
        "action": {"properties": {"effect": "send", "impact": "low"}},
        "resource": {
            "properties": {
                "targets": [
                    {"kind": "amount", "currency": "EUR", "minor": each} for each in minors
                ]
            }
        },
        "context": {"usage": {"amount_eur": {"used": used, "limit": limit}}},
    }


@pytest.fixture
def state(tmp_path: Path) -> RunState:
    return RunState(
        run="run-1",
        subject=subject_of(user="alice", agent=None, roles=()),
        workspace=tmp_path,
        approval_mode="wait",
        budgets=InMemoryBudgetLedger(),
        limits={},
        provenance=ProvenanceLedger(),
    )


def test_what_a_run_moved_is_counted_when_a_call_starts(state: RunState) -> None:
    assert state.take_amounts(moving(100, 50))
    assert state.moved == {"amount_eur": 150}
    assert not state.take_amounts(moving(10)), "it was decided before the other was counted"
    assert state.take_amounts(moving(10), approved=True), "a person saw it"
    assert state.take_amounts(moving(10, limit=500)), "a budget of its own counts it"
    state.give_amounts_back(moving(10))
    assert state.moved == {"amount_eur": 160}


def test_a_call_that_reads_or_drafts_moves_nothing(state: RunState) -> None:
    for effect, impact in (("read", "high"), ("write", "low")):
        question = moving(5)
        question["action"]["properties"] = {"effect": effect, "impact": impact}
        assert state.take_amounts(question)

    assert state.moved == {}


def test_what_nobody_saw_adds_up(state: RunState) -> None:
    state.add_unseen({"created": 2, "changed": 1, "bytes": 40})
    state.add_unseen({"deleted": 1})

    assert state.unseen == (4, 40)
