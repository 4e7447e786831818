"""A port that never answers ends in a recorded denial; on a clock that jumps, so nobody waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from faults import Point, findings, tapped, types_of
from trio.testing import MockClock

from permissions.model import Denial
from permissions.reasons import Code
from permissions.sessions.open import open_session
from permissions.testing import asking, memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from permissions.model import JsonObject

RAN: list[str] = []
CALL = ToolCall("act", {"seconds": 0.0})


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Trio, whose test clock moves on as soon as everybody waits."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@tool(effect="write", impact="low")
async def act(seconds: float) -> str:
    """Takes its time, then notes that it ran."""
    await anyio.sleep(seconds)
    RAN.append("act")
    return "done"


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    RAN.clear()


def with_deadline(_: JsonObject) -> JsonObject:
    return permitted({"id": "d", "type": "deadline", "properties": {"seconds": 3}})


async def test_a_trace_that_never_answers_is_a_denial() -> None:
    async with (
        memory_broker([act], decide=lambda _: permitted()) as broker,
        open_session(broker) as session,
    ):
        hanging = tapped(broker, session, Point("trace", "append"), anyio.sleep_forever)
        began = anyio.current_time()
        result = await hanging.call(session, CALL)
        took = anyio.current_time() - began

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", Code.TRACE_UNAVAILABLE)
    assert RAN == []
    assert took < 30


async def test_a_trace_that_hangs_at_the_outcome_withholds_the_result() -> None:
    async with (
        memory_broker([act], decide=lambda _: permitted()) as broker,
        open_session(broker) as session,
    ):
        point = Point("trace", "append", 2)
        result = await tapped(broker, session, point, anyio.sleep_forever).call(session, CALL)

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", Code.RESULT_WITHHELD)
    assert RAN == ["act"]


async def test_a_tool_past_its_deadline_is_stopped_and_recorded() -> None:
    async with (
        memory_broker([act], decide=with_deadline) as broker,
        open_session(broker) as session,
    ):
        result = await broker.call(session, ToolCall("act", {"seconds": 60}))

    assert isinstance(result, Denial)
    assert result.code == Code.EXECUTION_STOPPED
    assert RAN == []
    assert types_of(broker.trace.entries, result.call)[-2:] == ["start", "outcome"]
    assert findings(broker.trace.entries) == []


@pytest.mark.parametrize(
    ("expires", "kind", "code"),
    [(30, "expired", Code.APPROVAL_EXPIRED), (900, "pending", Code.APPROVAL_PENDING)],
    ids=["the request expires first", "the wait ends first"],
)
async def test_nobody_answers(expires: int, kind: str, code: Code) -> None:
    """The call ends when its request or its patience does, and says which."""
    async with (
        memory_broker(
            [act], decide=lambda _: asking(expires_in_seconds=expires), approval_mode="wait"
        ) as broker,
        open_session(broker) as session,
        anyio.create_task_group() as tasks,
    ):

        async def tick() -> None:
            while True:
                await anyio.sleep(1)
                broker.clock.advance(1)

        tasks.start_soon(tick)
        result = await broker.call(session, CALL)
        tasks.cancel_scope.cancel()

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == (kind, code)
    assert RAN == []
    assert findings(broker.trace.entries) == []
