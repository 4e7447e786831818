"""What detectors find becomes labels, input and markers, and never a decision of its own."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import pytest

from permissions.broker.inspection import Inspection
from permissions.detection.detectors import Detectors
from permissions.model import Completed, Denial
from permissions.run.found_values import FoundValues
from permissions.sessions.open import open_session
from permissions.testing import Person, asking, memory_broker, permitted
from permissions.tools.call import ToolCall
from permissions.trace.entry import NOT_KEPT
from wardline import RecipientArg, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from permissions.model import CallResult, JsonObject
    from permissions.testing import MemoryBroker

KEY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
MARKER = "[redacted:github_token#1:32-63]"
LOOKS = Inspection(("secrets",), ("secrets",), ("secrets",))


@tool(effect="read", impact="low")
async def read_note(name: str) -> Any:
    """Reads."""
    return {"note": f"the token is {KEY}", "name": name}


@tool(effect="send", impact="low", control=["to"])
async def send(to: Annotated[str, RecipientArg()], body: str) -> str:
    """Sends."""
    return body


async def after(
    calls: Sequence[ToolCall],
    *,
    decide: Callable[[JsonObject], JsonObject] = lambda _: permitted(),
    inspection: Inspection = LOOKS,
    prompt: str = "",
) -> tuple[list[CallResult], list[JsonObject], MemoryBroker]:
    """What calls come to, what policies were asked, and the broker."""
    asked: list[JsonObject] = []

    def deciding(document: JsonObject) -> JsonObject:
        asked.append(document)
        return decide(document)

    async with (
        memory_broker([read_note, send], decide=deciding, inspection=inspection) as broker,
        open_session(broker, run="run-1", prompt=prompt) as session,
    ):
        results = [await broker.call(session, call) for call in calls]
        assert session.closed is False
    return results, asked, broker


def kept(broker: MemoryBroker) -> bytes:
    """Everything that was recorded, sealed or not."""
    said = [
        orjson.dumps([entry.type, entry.body, sorted(entry.contents)])
        + b"".join(entry.contents.values())
        for entry in broker.trace.entries
    ]
    return b"\n".join(said)


async def test_policies_see_what_was_found_and_where_but_not_the_value() -> None:
    _, (asked,), _ = await after([ToolCall("send", {"to": "a@b.example", "body": f"x {KEY}"})])

    assert asked["context"]["detected"] == {
        "secrets": [
            {"kind": "github_token", "pointer": "/body", "start": 2, "end": 42, "from": None}
        ]
    }
    assert asked["resource"]["properties"]["args"]["body"] == f"x {MARKER}"
    assert KEY not in str(asked)


async def test_the_tool_gets_what_it_was_called_with() -> None:
    (result,), _, broker = await after(
        [ToolCall("send", {"to": "a@b.example", "body": f"x {KEY}"})]
    )

    assert isinstance(result, Completed)
    assert result.value == f"x {KEY}"
    assert KEY.encode() not in kept(broker)
    assert kept(broker).count(MARKER.encode()) >= 3  # arguments, input, result


async def test_a_value_that_was_read_is_known_when_it_leaves_also_encoded() -> None:
    again = base64.b64encode(f"<{KEY}>".encode()).decode()
    results, asked, broker = await after(
        [
            ToolCall("read_note", {"name": "n"}),
            ToolCall("send", {"to": "a@b.example", "body": f"see {again}"}),
        ]
    )

    (found,) = asked[1]["context"]["detected"]["secrets"]
    end = next(e for e in broker.trace.entries if e.type == "outcome")
    assert found["from"] == {
        "call": results[0].call,
        "entry": broker.trace.entries.index(end),
        "pointer": "/note",
    }
    assert asked[1]["context"]["labels"] == ["secrets_read", "untrusted"]
    assert end.body["detected"] == {"secrets": 1}
    assert end.body["labels"] == ["secrets_read"]
    told = orjson.loads(end.contents["detected"])
    assert told == {
        "secrets": [{"kind": "github_token", "pointer": "/note", "start": 13, "end": 53}]
    }
    assert again.encode() not in kept(broker)


async def test_a_value_is_known_again_where_its_form_says_nothing() -> None:
    password = "River#42stone"

    @tool(effect="read", impact="low")
    async def settings() -> str:
        return f"db_password={password}"

    asked: list[JsonObject] = []
    async with (
        memory_broker(
            [settings, send],
            decide=lambda document: asked.append(document) or permitted(),
            inspection=LOOKS,
        ) as broker,
        open_session(broker) as session,
    ):
        await broker.call(session, ToolCall("settings", {}))
        await broker.call(
            session, ToolCall("send", {"to": "a@b.example", "body": f"use {password}!"})
        )

    (found,) = asked[1]["context"]["detected"]["secrets"]
    assert (found["pointer"], found["start"], found["end"]) == ("/body", 4, 17)
    assert found["from"]["pointer"] == ""
    assert password.encode() not in kept(broker)


async def test_equal_marks_are_equal_values() -> None:
    other = KEY[:-1] + "9"
    _, asked, _ = await after(
        [
            ToolCall("send", {"to": "a@b.example", "body": f"{KEY} {other} {KEY}"}),
            ToolCall("send", {"to": "a@b.example", "body": other}),
        ]
    )

    second = MARKER.replace("#1", "#2")
    assert asked[0]["resource"]["properties"]["args"]["body"] == f"{MARKER} {second} {MARKER}"
    assert asked[1]["resource"]["properties"]["args"]["body"] == second


async def test_an_approval_is_of_what_runs_and_still_counts() -> None:
    """People see and sign the real text; policies compare the digests they were shown."""
    asked: list[JsonObject] = []

    def decide(document: JsonObject) -> JsonObject:
        asked.append(document)
        return permitted() if document["context"]["approval"] else asking()

    call = ToolCall("send", {"to": "a@b.example", "body": f"x {KEY}"})
    async with (
        memory_broker([send], decide=decide, inspection=LOOKS) as broker,
        open_session(broker) as session,
    ):
        pending = await broker.call(session, call)
        assert isinstance(pending, Denial)
        assert pending.access_request is not None
        shown = await broker.parts.approvals.get(pending.access_request)
        assert KEY in shown.shown
        await Person().answer(broker, pending.access_request)
        done = await broker.call(session, call)

    assert isinstance(done, Completed)
    question = asked[-1]
    assert (
        question["context"]["approval"]["args_digest"]
        == question["resource"]["properties"]["args_digest"]
    )
    assert KEY.encode() not in kept(broker)


async def test_arguments_that_do_not_fit_are_not_kept_either() -> None:
    (result,), _, broker = await after([ToolCall("send", {"recipient": KEY})])

    assert isinstance(result, Denial)
    assert result.reasons[0].code == "arguments.invalid"
    assert KEY.encode() not in kept(broker)
    assert MARKER.encode() in kept(broker)


async def test_a_prompt_is_looked_at_too() -> None:
    _, _, broker = await after([], prompt=f"deploy with {KEY}")

    assert KEY.encode() not in kept(broker)
    assert broker.trace.entries[0].body["redacted"] == ["prompt"]


async def test_a_detector_that_is_late_denies_and_nothing_is_kept() -> None:
    release = threading.Event()
    late = Detectors({"own": lambda _: release.wait()}, seconds=0.05)  # type: ignore[dict-item, return-value]
    looks = Inspection(("own",), (), ("own",), late)
    try:
        (result,), asked, broker = await after(
            [ToolCall("send", {"to": "a@b.example", "body": f"x {KEY}"})], inspection=looks
        )
    finally:
        release.set()

    assert isinstance(result, Denial)
    assert (result.kind, result.reasons[0].code) == ("unavailable", "detection.late")
    assert asked == []
    assert KEY.encode() not in kept(broker)
    intent = next(e for e in broker.trace.entries if e.type == "intent")
    assert intent.contents["arguments"] == NOT_KEPT
    assert intent.links["args"] == NOT_KEPT


@pytest.mark.parametrize("names", [("own",), ()], ids=["recorded", "not recorded"])
async def test_a_detector_that_fails_withholds_the_result(names: tuple[str, ...]) -> None:
    def fails(_: str) -> Any:
        raise RuntimeError("model not loaded")

    looks = Inspection((), ("own",), names, Detectors({"own": fails}))
    if names:  # the arguments are looked at for the record, and so the call is denied
        looks = Inspection((), ("own",), (), Detectors({"own": fails}))
    (result,), _, broker = await after(
        [ToolCall("read_note", {"name": "some name"})], inspection=looks
    )

    assert isinstance(result, Denial)
    assert (result.kind, result.reasons[0].code) == ("denied", "detection.failed")
    end = next(e for e in broker.trace.entries if e.type == "outcome")
    assert end.body["withheld"] is True


async def test_without_detectors_nothing_is_looked_at() -> None:
    _, (asked,), broker = await after(
        [ToolCall("send", {"to": "a@b.example", "body": f"x {KEY}"})], inspection=Inspection()
    )

    assert asked["context"]["detected"] == {}
    assert KEY.encode() in kept(broker)


def test_marks_stand_in_keys_numbers_and_json_within_texts() -> None:
    values = FoundValues(("personal", "secrets"))
    looked = Detectors().look_now(
        {"a": 'line "River#42" \n', "card": 4539578763621486, "password": 'River"42,x7'},
        ("secrets", "personal"),
    )
    for found in looked.values():
        values.learn(found)
    document = {
        'River"42,x7': 1,
        "n": 4539578763621486,
        "nested": orjson.dumps({"p": 'River"42,x7'}).decode(),
    }

    data = values.markers().in_bytes(orjson.dumps(document))

    assert b"4539578763621486" not in data
    assert b"River" not in data
    again = orjson.loads(data)
    assert orjson.loads(again["nested"])["p"].startswith("[redacted:password#")
    assert values.markers().in_bytes(data) == data


def test_the_numbers_of_a_run_go_on_after_a_restart() -> None:
    values = FoundValues(("secrets",))
    values.resume([b'{"a": "[redacted:jwt#7:32-63]"}'])
    values.learn(Detectors().look_now(KEY, ("secrets",))["secrets"])

    assert values.markers().in_text(KEY) == MARKER.replace("#1", "#8")


async def test_more_values_than_can_be_told_apart_are_refused_and_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The product's bound would need thousands of values; what is tried is what lies beyond it.
    monkeypatch.setattr("permissions.run.found_values.MAX_VALUES", 1)
    other = KEY[:-1] + "9"
    results, asked, broker = await after(
        [
            ToolCall("send", {"to": "a@b.example", "body": KEY}),
            ToolCall("send", {"to": "a@b.example", "body": other}),
        ]
    )

    assert isinstance(results[1], Denial)
    assert results[1].reasons[0].code == "detection.failed"
    assert len(asked) == 1
    assert other.encode() not in kept(broker)
