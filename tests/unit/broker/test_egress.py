"""A connection of a running call is a question of its own, recorded before it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from asking import TUNNEL, AskingExecutor, connect
from faults import findings, inputs
from hypothesis import given
from hypothesis import strategies as st

from permissions.errors import (
    PdpAnswerError,
    PdpError,
    PdpInputError,
    PdpTimeoutError,
    PdpUnavailableError,
    PdpUndefinedError,
    TraceWriteError,
)
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.testing import (
    Person,
    asking,
    denied,
    memory_broker,
    permitted,
)
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.execution.base import ConnectionAnswer
    from permissions.model import JsonObject, JsonValue
    from permissions.run.state import RunState
    from permissions.trace.entry import TraceEntry

CALL = ToolCall("connect", {"note": "x"})
EVIDENCE = {"id": "e", "type": "evidence", "properties": {"level": "durable"}}


def about_connections(
    answer: Callable[[JsonObject], JsonValue],
) -> Callable[[JsonObject], JsonValue]:
    """A policy that permits each call, and answers `answer` about its connections."""
    return lambda document: (
        permitted() if document["action"]["name"] == "tools/call" else answer(document)
    )


async def answers_of(
    answer: Callable[[JsonObject], JsonValue],
    executor: AskingExecutor | None = None,
    begin: Callable[[RunState], None] = lambda _: None,
) -> tuple[list[ConnectionAnswer], list[TraceEntry]]:
    """What the gate said, and the whole record."""
    executor = executor or AskingExecutor()
    async with memory_broker(
        [connect], decide=about_connections(answer), executors={"process": executor}
    ) as broker:
        async with open_session(broker, user="alice") as session:
            begin(session)
            result = await broker.call(session, CALL)
        assert findings(broker.trace.entries) == []
        assert isinstance(result, Completed), result
        return executor.answers, broker.trace.entries


def decisions(entries: list[TraceEntry]) -> list[tuple[str, int | None, bool]]:
    return [
        (entry.body["action"], entry.body["connection"], entry.body["permitted"])
        for entry in entries
        if entry.type == "decision"
    ]


async def test_a_permit_is_recorded_as_a_decision_of_its_own() -> None:
    """Whole, so that it can be decided again, and durable like its call."""
    executor = AskingExecutor(times=2)
    answers, entries = await answers_of(lambda _: permitted(EVIDENCE), executor)

    assert [(a.permitted, a.code, a.number) for a in answers] == [
        (True, "egress.allowed", 1),
        (True, "egress.allowed", 2),
    ]
    assert decisions(entries) == [
        ("tools/call", None, True),
        ("egress/connect", 1, True),
        ("egress/connect", 2, True),
    ]
    call, asked, _ = (document for _, document in inputs(entries))
    assert asked["resource"]["properties"] == {
        "tool": "connect",
        "tool_digest": connect.guard.definition.digest,
        "args_digest": call["resource"]["properties"]["args_digest"],
        **TUNNEL,
        "profile": "web",
    }
    assert asked["subject"] == call["subject"]
    assert asked["context"] == call["context"]


async def test_a_refusal_carries_the_policy_s_code_and_is_recorded() -> None:
    (answer,), entries = await answers_of(lambda _: denied("mine.closed"))

    assert (answer.permitted, answer.code, answer.number) == (False, "mine.closed", 1)
    assert decisions(entries)[-1] == ("egress/connect", 1, False)


async def test_nobody_is_asked_while_a_connection_waits() -> None:
    """What a person could lift is a refusal all the same, and opens no request."""
    (answer,), entries = await answers_of(lambda _: asking())

    assert (answer.permitted, answer.code) == (False, "test.needs_person")
    assert not [entry for entry in entries if entry.type == "request"]


async def test_labels_are_those_of_the_moment() -> None:
    """What the session reads meanwhile tightens the next connection of a run."""
    held: list[RunState] = []
    executor = AskingExecutor(2, lambda: held[0].labels.add("untrusted"))

    def answer(document: JsonObject) -> JsonObject:
        return denied() if document["context"]["labels"] else permitted()

    answers, _ = await answers_of(answer, executor, held.append)

    assert [each.permitted for each in answers] == [True, False]


async def test_a_closed_session_makes_no_connection() -> None:
    held: list[RunState] = []
    executor = AskingExecutor(2, lambda: setattr(held[0], "closed", True))

    answers, entries = await answers_of(lambda _: permitted(), executor, held.append)

    assert [(a.permitted, a.code) for a in answers][1] == (False, "session.closed")
    assert len(decisions(entries)) == 2


async def test_the_approval_of_the_call_is_in_the_question() -> None:
    seen: list[JsonObject] = []
    executor = AskingExecutor()

    def decide(document: JsonObject) -> JsonObject:
        if document["action"]["name"] == "egress/connect":
            seen.append(document["context"]["approval"])
            return permitted()
        return permitted() if document["context"]["approval"] else asking()

    async with (
        memory_broker(
            [connect], decide=decide, executors={"process": executor}, approval_mode="wait"
        ) as broker,
        open_session(broker, user="alice") as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(Person().attend, broker)
        result = await broker.call(session, CALL)
        group.cancel_scope.cancel()

    assert isinstance(result, Completed)
    assert seen[0]["approvers"] == ["olga"]


ATTACHED = {
    "sandbox": ({"isolation": "process", "profile": None}, "obligation.failed"),
    "label": ({"add": ["x"]}, "obligation.failed"),
    "odd": ({}, "obligation.unknown"),
    "evidence": ({"level": "sometimes"}, "obligation.failed"),
}


@pytest.mark.parametrize("kind", ATTACHED)
async def test_an_obligation_that_a_connection_cannot_keep_refuses_it(kind: str) -> None:
    properties, code = ATTACHED[kind]
    obligation = {"id": "a", "type": kind, "properties": properties}

    (answer,), entries = await answers_of(lambda _: permitted(EVIDENCE, obligation))

    assert (answer.permitted, answer.code) == (False, code)
    assert decisions(entries)[-1] == ("egress/connect", 1, True)


UNCLEAR = {
    "policy.unavailable": PdpUnavailableError("down"),
    "policy.timeout": PdpTimeoutError("late"),
    "policy.undefined": PdpUndefinedError("no value"),
    "policy.answer_invalid": PdpAnswerError("broken"),
    "arguments.unrepresentable": PdpInputError("odd"),
    "broker.fault": RuntimeError("a secret"),
}


@pytest.mark.parametrize("code", UNCLEAR)
async def test_an_engine_without_a_clear_answer_refuses(code: str) -> None:
    def fail(_: JsonObject) -> JsonValue:
        raise UNCLEAR[code]

    (answer,), entries = await answers_of(fail)

    assert (answer.permitted, answer.code, answer.number) == (False, code, None)
    assert len(decisions(entries)) == 1
    assert isinstance(UNCLEAR[code], PdpError) or code == "broker.fault"


async def test_what_cannot_be_recorded_is_not_made() -> None:
    executor = AskingExecutor()

    def decide(document: JsonObject) -> JsonObject:
        if document["action"]["name"] == "egress/connect":
            broker.trace.fail("full")
        return permitted()

    async with memory_broker(
        [connect], decide=decide, executors={"process": executor}
    ) as broker:
        with pytest.raises(TraceWriteError):  # the end of the session, neither
            async with open_session(broker, user="alice") as session:
                await broker.call(session, CALL)

    (answer,) = executor.answers
    assert (answer.permitted, answer.code, answer.number) == (False, "trace.unavailable", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from(["", "x", "allow"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["decision", "context", "x"]), inner, max_size=2)
    ),
    max_leaves=5,
)
ANSWERS = st.one_of(
    JSON,
    st.sampled_from([permitted(), permitted(EVIDENCE), denied(), asking()]),
    st.builds(lambda value: {**permitted(), "decision": value}, JSON),
    st.builds(
        lambda name, value: {
            "decision": True,
            "context": {**permitted()["context"], name: value},
        },
        st.sampled_from(["reasons", "obligations", "access_request", "rules", "extra"]),
        JSON,
    ),
)


@given(ANSWERS)
def test_only_a_well_formed_permit_without_other_obligations_lets_a_connection_through(
    answer: Any,
) -> None:
    (given_answer,), _ = anyio.run(answers_of, lambda _: answer)

    if given_answer.permitted:
        assert answer["decision"] is True
        context = answer["context"]
        assert context["access_request"] is None
        assert all(obligation["type"] == "evidence" for obligation in context["obligations"])
        assert set(context) == set(permitted()["context"])
