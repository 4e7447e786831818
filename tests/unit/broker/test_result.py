"""What of a result is handed out, kept and given again."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from faults import findings, types_of

from permissions.broker.result import deliver, restore
from permissions.errors import ToolFailedError
from permissions.execution.base import Outcome
from permissions.execution.journal import Finished
from permissions.model import Completed, Denial
from permissions.reasons import Code, reason
from permissions.sessions.open import open_session
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from permissions.broker.call import Admission
    from permissions.execution.base import Status
    from permissions.model import CallResult, JsonObject

GIVES: list[Any] = []


def given() -> Any:
    value = GIVES[-1]
    if isinstance(value, Exception):
        raise value
    return value


@dataclass
class Page:
    title: str
    when: date


class Unprintable(Exception):  # noqa: N818 - a tool's own
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@tool(effect="read", impact="low")
async def anything() -> Any:
    """Gives what it was told to."""
    return given()


@tool(effect="read", impact="low")
async def text() -> str:
    """Says that it gives a text."""
    return given()


@tool(effect="read", impact="low")
async def page() -> Page:
    """Gives a page."""
    return given()


@tool(effect="read", impact="low")
def sync_anything() -> Any:
    """A sync wrapper that may hand back work instead of a result."""
    return given()


TOOLS = [anything, text, page, sync_anything]


def hiding(*pointers: str) -> JsonObject:
    properties = {"fields": list(pointers)}
    return permitted({"id": "r", "type": "redact", "properties": properties})


async def called(
    name: str, value: Any, *pointers: str, key: str | None = None, times: int = 1
) -> tuple[CallResult, Any]:
    """The last of several identical calls, and the record."""
    GIVES.append(value)
    answer = hiding(*pointers) if pointers else permitted()
    async with (
        memory_broker(TOOLS, decide=lambda _: answer) as broker,
        open_session(broker) as session,
    ):
        for _ in range(times):
            result = await broker.call(session, ToolCall(name, {}, key=key))
    return result, broker.trace.entries


@dataclass(frozen=True)
class Case:
    id: str
    tool: str
    value: Any
    pointers: tuple[str, ...]
    shown: Any
    sealed: bytes | None


PAGE = Page("t", date(2026, 1, 2))


class Odd:
    """Of no type that JSON knows."""

    def __str__(self) -> str:
        return "odd"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd)

    __hash__ = None  # type: ignore[assignment]


ODD = Odd()
CASES = [
    Case("as it is", "anything", {"a": [1, None]}, (), {"a": [1, None]}, b'{"a":[1,null]}'),
    Case("a type of its own", "page", PAGE, (), PAGE, b'{"title":"t","when":"2026-01-02"}'),
    Case("not the type it says", "text", 5, (), 5, b"5"),
    Case("nothing JSON knows", "anything", ODD, (), ODD, b'{"text":"odd"}'),
    Case("redacted", "anything", {"a": 1}, ("/a",), {"a": "[redacted]"}, b'{"a":1}'),
    Case(
        "a redacted type of its own",
        "page",
        PAGE,
        ("/title",),
        Page("[redacted]", date(2026, 1, 2)),
        b'{"title":"t","when":"2026-01-02"}',
    ),
    Case("nothing to redact", "anything", 5, ("/a",), 5, b"5"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_result_goes_out_after_its_obligations_and_is_sealed_whole(case: Case) -> None:
    result, entries = await called(case.tool, case.value, *case.pointers)

    assert isinstance(result, Completed)
    assert result.value == case.shown
    assert not result.replayed
    assert entries[-2].contents.get("result") == case.sealed
    assert entries[-2].body["withheld"] is False


WITHHELD: dict[str, tuple[str, Any, tuple[str, ...], str | None]] = {
    "redacted, it is of another type": ("page", PAGE, ("/when",), None),
    "redacted as a whole": ("page", PAGE, ("",), None),
    "an obligation that is no pointer": ("anything", {"a": 1}, ("a",), None),
    "an obligation on what is not JSON": ("anything", ODD, ("/a",), None),
    "redacted, it would be a dictionary": ("anything", PAGE, ("/title",), None),
    "a text that names the field": ("text", "the pin is 1234", ("/pin",), None),
}


@pytest.mark.parametrize("case", WITHHELD.values(), ids=WITHHELD.keys())
async def test_an_obligation_that_fails_withholds_the_whole_result(
    case: tuple[str, Any, tuple[str, ...], str | None],
) -> None:
    name, value, pointers, key = case
    result, entries = await called(name, value, *pointers, key=key)

    assert isinstance(result, Denial)
    assert result.code == Code.RESULT_WITHHELD
    assert entries[-2].body["withheld"] is True
    assert findings(entries) == []


async def test_no_warning_prints_a_result_of_another_type() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await called("text", ["x-secret"])

    assert [str(each.message) for each in caught] == []


async def lazily() -> None:
    GIVES.append("ran")


def streaming() -> Any:
    GIVES.append("ran")
    yield 1


@pytest.mark.parametrize("make", [lazily, streaming], ids=["coroutine", "generator"])
async def test_work_handed_back_for_later_is_an_error(make: Any) -> None:
    """Its effects would come after the record of the call."""
    with pytest.raises(ToolFailedError, match="would go unrecorded"):
        await called("sync_anything", make())

    assert GIVES[-1] != "ran"


@pytest.mark.parametrize("name", ["anything", "sync_anything"])
async def test_the_tools_own_exception_reaches_its_caller_and_the_record(name: str) -> None:
    with pytest.raises(ValueError, match="the tool's own words"):
        await called(name, ValueError("the tool's own words"))


@pytest.mark.parametrize("err", [ValueError("\ud800"), Unprintable()], ids=["text", "no text"])
async def test_an_exception_that_cannot_be_written_down_is_still_recorded(
    err: Exception,
) -> None:
    GIVES.append(err)
    async with (
        memory_broker(TOOLS, decide=lambda _: permitted()) as broker,
        open_session(broker) as session,
    ):
        with pytest.raises(type(err)):
            await broker.call(session, ToolCall("anything", {}, key="k"))

    assert types_of(broker.trace.entries, "call-2")[-1] == "outcome"
    assert broker.trace.entries[-2].body["status"] == "error"
    assert findings(broker.trace.entries) == []


@pytest.mark.parametrize(
    ("name", "value", "pointers"),
    [
        ("anything", ODD, ()),
        ("anything", {"a": 1, "b": 2}, ()),
        ("anything", {"a": 1, "b": 2}, ("/a",)),
        ("page", PAGE, ()),
        ("page", PAGE, ("/when",)),
    ],
    ids=["odd", "value", "redacted", "own type", "withheld"],
)
async def test_asking_again_gives_the_same_without_a_second_run(
    name: str, value: Any, pointers: tuple[str, ...]
) -> None:
    once, _ = await called(name, value, *pointers, key="k")
    again, entries = await called(name, value, *pointers, key="k", times=3)

    assert [entry.type for entry in entries].count("start") == 1
    if isinstance(once, Completed):
        assert isinstance(again, Completed)
        assert (again.value, again.replayed) == (once.value, True)
    else:
        assert isinstance(again, Denial)
        assert again.code == once.code


def test_an_earlier_exception_is_an_exception_again() -> None:
    with pytest.raises(ToolFailedError, match="ValueError: no"):
        restore(anything.guard.definition, "call-1", Finished(b"ValueError: no", "error"))


@pytest.fixture
async def admission() -> Admission:
    """Permission to run a call that was never used."""
    async with (
        memory_broker(TOOLS, decide=lambda _: permitted()) as broker,
        open_session(broker) as session,
    ):
        admitted = await broker.admit(session, ToolCall("anything", {}))
    assert not isinstance(admitted, Completed | Denial)
    return admitted


ENDINGS: list[tuple[Status, str, Code]] = [
    ("stopped", "denied", Code.EXECUTION_STOPPED),
    ("provider_failed", "unavailable", Code.EXECUTION_PROVIDER_FAILED),
    ("unavailable", "unavailable", Code.ISOLATION_UNAVAILABLE),
    ("state_lost", "unavailable", Code.EXECUTION_STATE_LOST),
    ("cancelled", "expired", Code.CALL_CANCELLED),
    ("not_run", "denied", Code.CALL_CHANGED),
]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending[0])
async def test_what_did_not_end_well_gives_nothing(
    ending: tuple[Status, str, Code], admission: Admission
) -> None:
    status, kind, code = ending

    delivery = deliver(admission, Outcome(status, value="x", detail="why", verdict="word"))

    assert delivery.denial is not None
    assert (delivery.denial.kind, delivery.denial.code) == (kind, code)
    assert delivery.denial.reasons[0].operator == "word: why"
    assert delivery.value is delivery.record is None


async def test_a_tool_that_was_stopped_is_told_by_what(admission: Admission) -> None:
    """Time, memory and an exit of its own are mended differently."""
    delivery = deliver(admission, Outcome("stopped", detail="inside", verdict="timeout"))

    assert delivery.denial is not None
    assert delivery.denial.reasons[0].agent.endswith("How it ended: timeout.")
    assert "inside" not in delivery.denial.reasons[0].agent


async def test_what_was_refused_after_the_run_is_sealed_and_not_given(
    admission: Admission,
) -> None:
    """For whoever looks into it later: the tool returned, and its changes are gone."""
    gone = reason(Code.EFFECTS_DISCARDED)
    denial = Denial(admission.id, "anything", "denied", (gone,))

    delivery = deliver(admission, Outcome("discarded", value="done", denial=denial))

    assert delivery.denial is denial
    assert delivery.record == b'"done"'
    assert delivery.value is None


JSON_TEXT = '{"pin": "1234", "name": "Kim"}'


@pytest.mark.parametrize(
    ("name", "value", "pointer", "shown"),
    [
        ("text", JSON_TEXT, "/pin", '{"pin": "[redacted]", "name": "Kim"}'),
        ("anything", {"body": JSON_TEXT}, "/body/pin", None),
        ("anything", [{"body": JSON_TEXT}], "/*/body/pin", None),
        ("text", json.dumps(JSON_TEXT), "/pin", None),
        ("text", JSON_TEXT + "\n" + JSON_TEXT, "/pin", None),
        ("text", '{"name":"Kim"}', "/pin", '{"name":"Kim"}'),
        ("text", "nothing of the kind", "/pin", "nothing of the kind"),
        ("anything", {"pin": "1234", "score": float("nan")}, "/pin", None),
    ],
)
async def test_redaction_reaches_into_texts_that_are_json(
    name: str, value: Any, pointer: str, shown: str | None
) -> None:
    result, _ = await called(name, value, pointer)

    assert isinstance(result, Completed)
    assert type(result.value) is type(value)
    assert "1234" not in json.dumps(result.value)
    if shown is not None:
        assert result.value == shown


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("text", ["no card 1234", JSON_TEXT])
async def test_redaction_reaches_exceptions_or_withholds_their_text(
    text: str, key: str | None
) -> None:
    for _ in range(2):
        with pytest.raises(ToolFailedError) as raised:
            await called("anything", ValueError(text), "/pin", key=key)
        assert "1234" not in str(raised.value)
        assert "ValueError" in str(raised.value)
        assert raised.value.__cause__ is raised.value.__context__ is None


@tool(effect="send", impact="low")
async def picture() -> bytes:
    """Nothing in it can be redacted."""
    GIVES.append("ran")
    return b""


async def test_a_type_without_fields_is_refused_before_it_runs_when_one_is_to_be_redacted() -> (
    None
):
    async with (
        memory_broker([picture], decide=lambda _: hiding("/pin")) as broker,
        open_session(broker) as session,
    ):
        GIVES.clear()
        result = await broker.call(session, ToolCall("picture", {}))

    assert isinstance(result, Denial)
    assert result.code == "obligation.failed"
    assert GIVES == []
