"""What becomes of the changes of a run, whatever stands in their way. No sandbox is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from editing import on_effects
from faults import findings
from holding import EDIT, HoldingExecutor, edit

from permissions.execution.memory import InMemoryChanges
from permissions.execution.pending_changes import Obstacle
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.testing import asking, memory_broker, permitted

if TYPE_CHECKING:
    from permissions.execution.base import Status
    from permissions.execution.pending_changes import PendingChanges
    from permissions.model import CallResult, JsonObject
    from permissions.testing import MemoryBroker

BEFORE = {"a": "one\n"}
AFTER = {"a": "two\n", "n": "new\n"}


async def called(
    held: PendingChanges, answer: Any = None, status: Status = "ok"
) -> tuple[CallResult, MemoryBroker]:
    """What a call came to whose run holds these changes, and the broker with its record."""
    async with memory_broker(
        [edit],
        decide=on_effects(permitted() if answer is None else answer),
        executors={"process": HoldingExecutor(held, status)},
    ) as broker:
        async with open_session(broker, user="alice") as session:
            result = await broker.call(session, EDIT)
        assert findings(broker.trace.entries) == []
        return result, broker


def fate(broker: MemoryBroker) -> JsonObject:
    (found,) = [e.body for e in broker.trace.entries if e.body.get("kind") == "fate"]
    return found


async def test_a_permit_commits() -> None:
    workspace = dict(BEFORE)

    result, broker = await called(InMemoryChanges(workspace, AFTER))

    assert isinstance(result, Completed)
    assert workspace == AFTER
    assert fate(broker)["fate"] == "committed"


async def test_a_deletion_is_a_change_like_any_other() -> None:
    workspace = {**BEFORE, "b": "gone\n"}

    result, broker = await called(InMemoryChanges(workspace, BEFORE))

    assert isinstance(result, Completed)
    assert workspace == BEFORE
    changes = next(e for e in broker.trace.entries if e.body.get("kind") == "changes")
    assert (changes.body["deleted"], changes.body["created"]) == (1, 0)


async def test_who_gives_up_meanwhile_takes_nothing_of_the_run_along() -> None:
    """What it said, what was seen of it and how it ended is on record, once."""
    workspace = dict(BEFORE)
    async with memory_broker(
        [edit],
        decide=on_effects(asking()),
        executors={"process": HoldingExecutor(InMemoryChanges(workspace, AFTER))},
        approval_mode="wait",
    ) as broker:
        async with open_session(broker, user="alice") as session:
            async with anyio.create_task_group() as tasks:
                token = await broker.parts.approvals.changed(None)
                tasks.start_soon(broker.call, session, EDIT)
                await broker.parts.approvals.changed(token)
                tasks.cancel_scope.cancel()
        assert findings(broker.trace.entries) == []

    outcome = next(e for e in broker.trace.entries if e.type == "outcome")
    assert (outcome.body["status"], outcome.body["verdict"]) == ("cancelled", "exit")
    assert outcome.contents["stdout"] == b"said"
    assert [e.body["kind"] for e in broker.trace.entries if e.type == "effect"] == [
        *("connection", "changes", "fate")
    ]
    assert workspace == BEFORE


OBSTACLES: dict[str, tuple[Any, str, str, bool]] = {
    "conflict": ("unavailable", "effects.conflict", "conflict", True),
    "failed": ("unavailable", "effects.failed", "failed", True),
    "unknown": ("in_doubt", "effects.in_doubt", "in_doubt", False),
    "refused": ("denied", "effects.refused", "discarded", True),
    "protected": ("denied", "effects.protected", "discarded", True),
}


@pytest.mark.parametrize("kind", OBSTACLES)
async def test_what_a_commit_meets_is_what_is_said_and_recorded(kind: Any) -> None:
    """That the changes are gone is said of those alone of which it is known."""
    denial, code, became, gone = OBSTACLES[kind]
    workspace = dict(BEFORE)
    obstacle = Obstacle(kind, ("a: it could not be",))

    result, broker = await called(InMemoryChanges(workspace, AFTER, coming=obstacle))

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == (denial, code)
    assert ("effects.discarded" in [each.code for each in result.reasons]) == gone
    assert fate(broker) == fate(broker) | {"fate": became, "codes": [code]}
    assert workspace == BEFORE


async def test_nobody_is_asked_about_a_part_of_what_it_would_have_done() -> None:
    workspace = dict(BEFORE)

    result, broker = await called(InMemoryChanges(workspace, AFTER), status="stopped")

    assert isinstance(result, Denial)
    assert result.code == "execution.stopped"
    assert fate(broker)["codes"] == ["effects.discarded"]
    assert [e.body["action"] for e in broker.trace.entries if e.type == "decision"] == [
        "tools/call"
    ]
    assert workspace == BEFORE


class Failing(InMemoryChanges):
    """Changes whose commit breaks its word and raises."""

    async def commit(self) -> Obstacle | None:
        raise RuntimeError("a secret")


async def test_a_commit_that_raised_may_have_come_any_far() -> None:
    result, broker = await called(Failing(dict(BEFORE), AFTER))

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("in_doubt", "effects.in_doubt")
    assert fate(broker)["fate"] == "in_doubt"


async def test_more_than_policies_can_be_asked_about_is_put_to_none() -> None:
    """All of it is listed, and its paths alone are longer than a question may be."""
    folder = "/".join(['"' * 200] * 5)
    workspace: dict[str, str] = {}
    held = InMemoryChanges(workspace, {f"{folder}/{n:03}": "" for n in range(499)})
    assert held.changes is not None
    assert held.changes.is_listed

    result, broker = await called(held)

    assert isinstance(result, Denial)
    assert result.kind == "denied"
    assert [each.code for each in result.reasons] == ["effects.too_large", "effects.discarded"]
    assert "Change less in one call" in result.reasons[0].agent
    assert "1,000,000" in result.reasons[0].operator
    assert fate(broker)["codes"] == ["effects.too_large"]
    assert workspace == {}
