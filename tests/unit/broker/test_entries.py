"""What is written down: plain facts in the open, anybody's words sealed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from faults import findings
from hypothesis import given
from hypothesis import strategies as st

from permissions.broker.entries import CONTENT_LIMIT
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.signing.canonical import digest
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
    from permissions.model import JsonObject
    from permissions.trace.entry import TraceEntry


@tool(effect="read", impact="low")
async def echo(value: Any) -> Any:
    """Gives back what it got, or fails with it."""
    if isinstance(value, dict) and value.get("fail"):
        raise ValueError(json.dumps(value))
    return value


MARK = "QZXJQZXJQ77"  # occurs nowhere else
VALUES = st.recursive(
    st.just(MARK) | st.integers(0, 9) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "fail", MARK]), inner, max_size=3)
    ),
    max_leaves=6,
)


async def story(value: Any, ending: str, name: str = "echo") -> list[TraceEntry]:
    """The record of one call that ends in a certain way."""

    def decide(document: JsonObject) -> JsonObject:
        if ending == "deny":
            return denied(agent=f"not {MARK}", operator=MARK)
        needs = ending == "approve" and document["context"]["approval"] is None
        return asking() if needs else permitted()

    async with (
        memory_broker([echo], decide=decide) as broker,
        open_session(broker, user="alice", prompt=MARK) as session,
    ):
        call = ToolCall(name, {"value": value}, key=MARK)
        for _ in range(2):
            try:
                result = await broker.call(session, call)
            except ValueError:
                break
            if isinstance(result, Denial) and result.access_request:
                await Person().answer(broker, result.access_request)
    return broker.trace.entries


@given(VALUES, st.sampled_from(["deny", "run", "approve"]), st.sampled_from(["echo", MARK]))
def test_no_argument_result_or_error_stands_in_the_open(
    value: Any, ending: str, name: str
) -> None:
    """Nor a caller's key, nor a prompt, nor the name of a tool that is none."""
    entries = anyio.run(story, [MARK, value], ending, name)

    for entry in entries:
        assert MARK not in json.dumps(entry.body), entry.type
        assert MARK not in json.dumps([entry.run, entry.call, list(entry.contents)])
    sealed = b"".join(data for entry in entries for data in entry.contents.values())
    assert MARK.encode() in sealed
    assert findings(entries) == []


async def test_an_approval_is_recorded_with_the_signed_votes() -> None:
    entries = await story("x", "approve")
    (approval,) = [entry for entry in entries if entry.type == "approval"]
    request = [entry for entry in entries if entry.type == "request"][-1]
    (start,) = [entry for entry in entries if entry.type == "start"]

    envelope = approval.contents["envelope_0"]
    assert approval.body["approvers"] == ["olga"]
    assert approval.body["request"] == request.body["request"] == start.body["request"]
    assert json.loads(envelope)["signatures"]


async def test_a_decision_holds_all_that_is_needed_to_decide_again() -> None:
    entries = await story("x", "run")
    (decision,) = [entry for entry in entries if entry.type == "decision"]

    assert decision.body["permitted"] is True
    assert decision.body["engine"] == "scripted/1"
    assert json.loads(decision.contents["response"]) == permitted()
    assert json.loads(decision.contents["input"])["resource"]["properties"]["args"] == {
        "value": "x"
    }


@pytest.mark.parametrize(
    ("value", "sealed"),
    [
        (object(), b'{"value":"<object>"}'),
        ({1, 2}, b'{"value":"<set>"}'),
        ("\ud800", b'"not JSON"'),
        ({1: 2}, b'"not JSON"'),
        ("x" * (CONTENT_LIMIT + 1), b'"too large"'),
    ],
    ids=["object", "set", "surrogate", "odd key", "too large"],
)
async def test_refused_arguments_are_sealed_as_far_as_they_can_be(
    value: Any, sealed: bytes
) -> None:
    entries = await story(value, "run", name="nothing")
    intent = next(entry for entry in entries if entry.type == "intent")

    assert intent.contents["arguments"] == sealed
    assert intent.contents["tool"] == b"nothing"
    assert intent.body["tool"] is None
    assert "args" not in intent.body


async def test_a_result_too_large_to_keep_is_kept_as_its_digest() -> None:
    """The result itself goes out; the record says what it was."""
    big = "x" * (CONTENT_LIMIT + 1)

    @tool(effect="read", impact="low")
    async def dump() -> str:
        """Gives more than is kept."""
        return big

    async with (
        memory_broker([dump], decide=lambda _: permitted()) as broker,
        open_session(broker) as session,
    ):
        result = await broker.call(session, ToolCall("dump", {}))

    outcome = broker.trace.entries[-2]
    data = json.dumps(big).encode()
    assert isinstance(result, Completed)
    assert outcome.body["oversize"] == ["result"]
    assert outcome.contents.keys() == {"oversize"}
    assert json.loads(outcome.contents["oversize"]) == {
        "result": {"digest": digest(data), "bytes": len(data)}
    }
