"""What a governed tool changes in its workspace is committed by decision, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from editing import editor, script
from faults import Point, findings, tapped, types_of
from overlays import fill, has_leftovers, tree
from people import first_pending

from permissions.broker.broker import PermissionBroker
from permissions.errors import ToolFailedError, TraceWriteError
from permissions.model import Completed, Denial
from permissions.testing import (
    Person,
    asking,
    denied,
    permitted,
)
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import CallResult, JsonObject
    from permissions.testing import MemoryBroker
    from permissions.trace.entry import TraceEntry

pytestmark = pytest.mark.bwrap

BEFORE = {"a": "one\n", "d/x": "x\n", ".wardline/key": "secret\n"}
EDIT = "echo two >> a && rm -r d && mkdir n && echo new > n/f"
RAN = ["intent", "decision", "start"]


NOBODY: JsonObject = {}
"""An answer nobody may get: it breaks the contract of policies, which would be a denial."""


def a_person_first(document: JsonObject) -> JsonObject:
    """Wants a person to see the changes."""
    return asking() if document["context"]["approval"] is None else permitted()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return fill(tmp_path / "w", BEFORE)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return tmp_path / "code"


def fate(broker: MemoryBroker) -> JsonObject:
    """The one fate on record."""
    found = [e.body for e in broker.trace.entries if e.body.get("kind") == "fate"]
    assert len(found) == 1
    return found[0]


def outcome(broker: MemoryBroker) -> TraceEntry:
    return next(each for each in broker.trace.entries if each.type == "outcome")


def untouched(workspace: Path, tmp_path: Path) -> bool:
    return tree(workspace) == tree(fill(tmp_path / "again", BEFORE))


# -- committed --------------------------------------------------------------------------------


async def test_a_permit_commits_and_the_record_says_what(workspace: Path, code: Path) -> None:
    seen: list[JsonObject] = []

    def permits(document: JsonObject) -> JsonObject:
        seen.append(document)
        assert (workspace / "a").read_text() == "one\n"  # not yet
        return permitted()

    async with editor(workspace, code, effects=permits) as (broker, session):
        result = await broker.call(session, script(f"pwd; ls -A; {EDIT}"))

    assert isinstance(result, Completed), result
    assert result.value == "/workspace\na\nd\n"  # and nothing of the broker's
    assert (workspace / "a").read_text() == "one\ntwo\n"
    assert (workspace / "n/f").read_text() == "new\n"
    assert not (workspace / "d").exists()
    assert types_of(broker.trace.entries, result.call) == [
        *RAN,
        "effect",
        "decision",
        "effect",
        "outcome",
    ]
    assert findings(broker.trace.entries) == []
    changes = next(e for e in broker.trace.entries if e.body.get("kind") == "changes")
    assert {name: changes.body[name] for name in ("created", "changed", "deleted")} == {
        "created": 2,
        "changed": 1,
        "deleted": 2,
    }
    assert b"+two" in changes.contents["diff"]
    assert "n/f" not in json.dumps(changes.body)  # a name is the tool's word
    committed = next(e for e in broker.trace.entries if e.body.get("kind") == "fate")
    assert committed.body["fate"] == "committed"
    digest = json.loads(changes.contents["changes"])["digest"]
    assert committed.links == changes.links == {"change_set": digest.encode()}
    asked_about = seen[0]["resource"]
    assert (asked_about["type"], asked_about["id"]) == ("change_set", "change")
    assert asked_about["properties"]["digest"] == digest
    assert asked_about["properties"]["counts"] == {"created": 2, "changed": 1, "deleted": 2}


async def test_a_path_argument_is_meant_from_the_workspace(workspace: Path, code: Path) -> None:
    """Also an absolute one."""
    async with editor(workspace, code) as (broker, session):
        for path in ("n.txt", str(workspace / "d/n.txt")):
            result = await broker.call(session, ToolCall("note", {"path": path, "text": "hi"}))
            assert isinstance(result, Completed), result

    assert (workspace / "n.txt").read_text() == (workspace / "d/n.txt").read_text() == "hi"


async def test_what_changes_nothing_is_not_asked_about(workspace: Path, code: Path) -> None:
    async with editor(workspace, code, effects=denied()) as (broker, session):
        result = await broker.call(session, script("cat a; touch a"))

    assert isinstance(result, Completed), result
    assert types_of(broker.trace.entries, result.call) == [*RAN, "outcome"]


async def test_a_label_of_the_permit_is_put_on_the_session(workspace: Path, code: Path) -> None:
    obligation = {"id": "t.label", "type": "label", "properties": {"add": ["edited"]}}
    async with editor(workspace, code, effects=permitted(obligation)) as (broker, session):
        await broker.call(session, script(EDIT))

        assert "edited" in session.labels


# -- discarded --------------------------------------------------------------------------------


async def test_a_denial_discards_and_the_tool_has_not_succeeded(
    workspace: Path, code: Path, tmp_path: Path
) -> None:
    async with editor(workspace, code, effects=denied("test.no")) as (broker, session):
        result = await broker.call(session, script(EDIT, key="k"))
        again = await broker.call(session, script(EDIT, key="k"))

    assert isinstance(result, Denial)
    assert [each.code for each in result.reasons] == ["test.no", "effects.discarded"]
    assert isinstance(again, Denial)
    assert again.reasons == result.reasons  # kept, and not run again
    assert untouched(workspace, tmp_path)
    assert not has_leftovers(workspace)
    assert fate(broker) == fate(broker) | {"fate": "discarded", "codes": ["test.no"]}
    assert outcome(broker).body["status"] == "discarded"
    assert outcome(broker).body["withheld"]
    assert session.history.document()[-1]["outcome"] == "discarded"
    assert findings(broker.trace.entries) == []


@pytest.mark.parametrize(
    "obligation",
    [
        pytest.param(
            {"id": "t.x", "type": kind, "properties": properties}, id=kind, marks=marks
        )
        for kind, properties, marks in (
            ("unheard_of", {}, ()),
            ("redact", {"fields": ["/x"]}, pytest.mark.slow),
            ("sandbox", {"isolation": "kernel"}, pytest.mark.slow),
            ("budget", {"name": "cost", "amount": 1}, pytest.mark.slow),
            ("deadline", {"seconds": 1}, pytest.mark.slow),
        )
    ],
)
async def test_an_obligation_that_cannot_be_done_any_more_discards(
    obligation: JsonObject, workspace: Path, code: Path, tmp_path: Path
) -> None:
    async with editor(workspace, code, effects=permitted(obligation)) as (broker, session):
        result = await broker.call(session, script(EDIT))

    assert isinstance(result, Denial)
    assert result.code in ("obligation.unknown", "obligation.failed")
    assert untouched(workspace, tmp_path)
    assert findings(broker.trace.entries) == []


async def test_the_changes_of_a_tool_that_raised_are_gone(
    workspace: Path, code: Path, tmp_path: Path
) -> None:
    """And nobody is asked about a part of what it would have done."""
    async with editor(workspace, code, effects=NOBODY) as (broker, session):
        with pytest.raises(ToolFailedError, match="changed in the workspace was discarded"):
            await broker.call(session, script(f"{EDIT}; exit 3"))

    assert untouched(workspace, tmp_path)
    assert fate(broker)["fate"] == "discarded"
    assert outcome(broker).body["status"] == "error"
    assert findings(broker.trace.entries) == []


async def test_the_changes_of_a_run_that_was_ended_are_gone(
    workspace: Path, code: Path, tmp_path: Path
) -> None:
    async with editor(workspace, code, effects=NOBODY) as (broker, session):
        result = await broker.call(session, script(f"{EDIT}; kill -9 $PPID"))

    assert isinstance(result, Denial)
    assert result.code == "execution.stopped"
    assert untouched(workspace, tmp_path)
    assert fate(broker)["fate"] == "discarded"
    assert outcome(broker).body["verdict"] == "signal"
    assert findings(broker.trace.entries) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(text, said, id=name, marks=marks)
        for name, text, said, marks in (
            (
                "hook",
                "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit",
                "effects.protected",
                (),
            ),
            ("pipe", "mkfifo pipe", "effects.refused", pytest.mark.slow),
            ("hard link", "ln a b", "effects.refused", pytest.mark.slow),
            ("link", "ln -s /etc/passwd b", "effects.refused", ()),
            (
                "hidden",
                "mkdir .wardline; echo x > .wardline/key",
                "effects.refused",
                pytest.mark.slow,
            ),
            ("agent settings", "echo x > CLAUDE.md", "effects.protected", pytest.mark.slow),
        )
    ],
)
async def test_what_cannot_be_committed_is_put_to_nobody(
    text: str, said: str, workspace: Path, code: Path, tmp_path: Path
) -> None:
    async with editor(workspace, code, effects=NOBODY) as (broker, session):
        result = await broker.call(session, script(f"{EDIT}; {text}"))

    assert isinstance(result, Denial)
    assert [each.code for each in result.reasons] == [said, "effects.discarded"]
    assert "pre-commit" not in str(result.for_agent())
    assert fate(broker)["fate"] == "discarded"
    assert untouched(workspace, tmp_path)
    assert findings(broker.trace.entries) == []


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before it is decided", "while a person thinks"])
async def test_what_others_changed_meanwhile_is_a_conflict(
    when: str, workspace: Path, code: Path
) -> None:
    """Theirs stays; the agent may try again."""

    def meddle(document: JsonObject) -> JsonObject:
        (workspace / "a").write_text("theirs\n")
        return a_person_first(document) if "person" in when else permitted()

    async with (
        editor(workspace, code, effects=meddle, approval_mode="wait") as (broker, session),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(Person().attend, broker)
        result = await broker.call(session, script(EDIT))
        tasks.cancel_scope.cancel()

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", "effects.conflict")
    assert result.for_agent()["retry"] is True
    assert fate(broker)["fate"] == "conflict"
    assert (workspace / "a").read_text() == "theirs\n"
    assert (workspace / "d/x").exists()
    assert not has_leftovers(workspace)
    assert findings(broker.trace.entries) == []


@pytest.mark.slow
@pytest.mark.parametrize("answer", [permitted(), a_person_first], ids=["decision", "request"])
async def test_without_a_record_of_the_decision_nothing_is_committed(
    answer: Any, workspace: Path, code: Path, tmp_path: Path
) -> None:
    def fail() -> None:
        raise TraceWriteError("no room")

    async with (
        editor(workspace, code, effects=answer, approval_mode="wait") as (broker, session),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(Person().attend, broker)
        failing = tapped(broker, session, Point("trace", "append", 2), fail)
        result = await failing.call(session, script(EDIT))
        tasks.cancel_scope.cancel()

    assert isinstance(result, Denial)
    assert result.code == "trace.unavailable"
    assert untouched(workspace, tmp_path)
    assert fate(broker)["fate"] == "discarded"
    assert findings(broker.trace.entries) == []


# -- a person sees the diff -----------------------------------------------------------------


async def test_a_person_approves_exactly_what_they_saw(workspace: Path, code: Path) -> None:
    async with (
        editor(workspace, code, effects=a_person_first, approval_mode="wait") as (
            broker,
            session,
        ),
        anyio.create_task_group() as tasks,
    ):
        results: list[CallResult] = []

        async def call() -> None:
            results.append(await broker.call(session, script(EDIT)))

        tasks.start_soon(call)
        request = await first_pending(broker.parts.approvals)
        assert (workspace / "a").read_text() == "one\n"
        await Person().answer(broker, request.id)

    (result,) = results
    assert isinstance(result, Completed), result
    assert request.call.effects is not None
    shown = json.loads(request.call.effects)
    assert any("+two" in each["diff"] for each in shown["diffs"])
    assert json.loads(request.shown)["call"]["effects"] == request.call.effects
    assert (workspace / "a").read_text() == "one\ntwo\n"
    assert fate(broker) == fate(broker) | {"fate": "committed", "request": request.id}
    assert types_of(broker.trace.entries, result.call)[3:] == [
        *("effect", "decision", "request", "approval", "decision", "effect", "outcome")
    ]
    assert findings(broker.trace.entries) == []
    used = await broker.parts.approvals.get(request.id)
    assert used.consumed_at is not None


async def test_a_person_says_no(workspace: Path, code: Path, tmp_path: Path) -> None:
    async with (
        editor(workspace, code, effects=a_person_first, approval_mode="wait") as (
            broker,
            session,
        ),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(Person().attend, broker, "deny")
        result = await broker.call(session, script(EDIT))
        tasks.cancel_scope.cancel()

    assert isinstance(result, Denial)
    assert [each.code for each in result.reasons] == ["approval.denied", "effects.discarded"]
    assert untouched(workspace, tmp_path)
    (answer,) = fate(broker)["answers"]
    assert (answer["approver"], answer["verdict"]) == ("olga", "deny")
    assert findings(broker.trace.entries) == []


@pytest.mark.slow
async def test_nobody_answers_and_the_question_is_taken_back(
    workspace: Path, code: Path, tmp_path: Path
) -> None:
    """What it was about is gone."""
    async with editor(workspace, code, effects=a_person_first, approval_mode="wait") as (
        broker,
        session,
    ):
        parts = replace(broker.parts, approval_wait_seconds=0.01)
        result = await PermissionBroker(parts).call(session, script(EDIT))
        (request,) = await broker.parts.approvals.listed(pending_only=False)

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("expired", "approval.expired")
    assert request.status == "cancelled"
    assert untouched(workspace, tmp_path)
    assert findings(broker.trace.entries) == []


async def test_a_session_that_suspends_says_how_to_get_it(
    workspace: Path, code: Path, tmp_path: Path
) -> None:
    """Nobody is asked about what would be gone by the time they answer."""
    async with editor(workspace, code, effects=a_person_first) as (broker, session):
        result = await broker.call(session, script(EDIT))
        requests = await broker.parts.approvals.listed(pending_only=False)

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("denied", "effects.need_wait")
    assert "effects.discarded" in [each.code for each in result.reasons]
    assert requests == ()
    assert untouched(workspace, tmp_path)


async def test_more_than_can_be_shown_is_put_to_nobody(
    workspace: Path, code: Path, tmp_path: Path
) -> None:
    many = "for i in $(seq 600); do : > f$i; done"
    async with editor(workspace, code, effects=a_person_first, approval_mode="wait") as (
        broker,
        session,
    ):
        result = await broker.call(session, script(many))

    assert isinstance(result, Denial)
    assert result.code == "effects.too_many"
    assert untouched(workspace, tmp_path)


async def test_a_caller_who_gives_up_leaves_nothing_behind(
    workspace: Path, code: Path, tmp_path: Path
) -> None:
    async with editor(workspace, code, effects=a_person_first, approval_mode="wait") as (
        broker,
        session,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(broker.call, session, script(EDIT))
            request = await first_pending(broker.parts.approvals)
            tasks.cancel_scope.cancel()
        left = await broker.parts.approvals.get(request.id)

    assert left.status == "cancelled"
    assert untouched(workspace, tmp_path)
    assert fate(broker) == fate(broker) | {"fate": "discarded", "codes": ["call.cancelled"]}
    assert outcome(broker).body["status"] == "cancelled"
    assert findings(broker.trace.entries) == []
