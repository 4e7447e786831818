"""The broker in memory that users test their tools with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import anyio
import pytest

from permissions.errors import ApproverRefusedError
from permissions.sessions.open import open_session
from permissions.testing import (
    FixedClock,
    NumberedIds,
    Person,
    asking,
    memory_broker,
)
from permissions.tools.call import ToolCall
from wardline import (
    Completed,
    Denial,
    PathArg,
    tool,
)

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import JsonObject


@tool(effect="read", impact="low")
def read(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a note."""
    return f"read {path}"


@tool(effect="irreversible", impact="high")
def erase(path: Annotated[str, PathArg("write")]) -> str:
    """Erases a note."""
    return f"erased {path}"


async def test_the_shipped_policies_decide_by_default(tmp_path: Path) -> None:
    """Really evaluated: what they say of a path in and outside of the workspace."""
    async with (
        memory_broker([read], workspace=tmp_path) as broker,
        open_session(broker, user="alice", prompt="read a.txt") as session,
    ):
        inside = await broker.call(session, ToolCall("read", {"path": "a.txt"}))
        outside = await broker.call(session, ToolCall("read", {"path": "/etc/passwd"}))

    assert isinstance(inside, Completed)
    assert isinstance(outside, Denial)
    assert outside.code == "filesystem.outside"
    assert [entry.type for entry in broker.trace.entries] == [
        "run.start",
        *("intent", "decision", "start", "outcome"),
        *("intent", "decision", "denied"),
        "run.end",
    ]


@pytest.mark.parametrize("verdict", ["approve", "deny"])
async def test_a_person_decides(verdict: str, tmp_path: Path) -> None:
    async with (
        memory_broker([erase], workspace=tmp_path, approval_mode="wait") as broker,
        open_session(broker, user="alice", prompt="erase a.txt") as session,
        anyio.create_task_group() as people,
    ):
        people.start_soon(Person().attend, broker, verdict)
        result = await broker.call(session, ToolCall("erase", {"path": "a.txt"}))
        people.cancel_scope.cancel()

    assert isinstance(result, Completed) is (verdict == "approve")


async def test_two_people_make_a_quorum_and_each_votes_once() -> None:
    people = (Person("olga", ("a",)), Person("otto", ("a",)), Person("eve", ("b",)))

    def decide(document: JsonObject) -> JsonObject:
        return asking("a", quorum=2)

    async with (
        memory_broker([read], decide=decide, people=people) as broker,
        open_session(broker) as session,
    ):
        pending = await broker.call(session, ToolCall("read", {"path": "x"}))
        assert isinstance(pending, Denial)
        assert pending.access_request is not None
        first = await people[0].answer(broker, pending.access_request)
        with pytest.raises(ApproverRefusedError):
            await people[0].answer(broker, pending.access_request)
        with pytest.raises(ApproverRefusedError):
            await people[2].answer(broker, pending.access_request)
        second = await people[1].answer(broker, pending.access_request)

    assert (first.status, second.status) == ("pending", "approved")


async def test_time_passes_when_told_to() -> None:
    async with (
        memory_broker([read], decide=lambda _: asking(expires_in_seconds=60)) as broker,
        open_session(broker) as session,
    ):
        pending = await broker.call(session, ToolCall("read", {"path": "x"}))
        assert isinstance(pending, Denial)
        broker.clock.advance(61)
        expired = await broker.parts.approvals.get(str(pending.access_request))

    assert expired.status == "expired"


def test_clock_and_ids_are_the_same_in_each_run() -> None:
    clock, ids = FixedClock(), NumberedIds()

    clock.advance(0.5)

    assert clock() == FixedClock()() + 500_000
    assert [ids("run"), ids("call")] == ["run-1", "call-2"]


def test_people_with_different_names_have_different_keys() -> None:
    assert Person("olga").signer.public == Person("olga").signer.public
    assert Person("olga").signer.public != Person("otto").signer.public
