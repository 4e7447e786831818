"""A run that goes on in another process: nothing it was held to is forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import anyio
import anyio.lowlevel
import pytest

from permissions.broker.ports import now_us
from permissions.errors import BudgetError, PlanError, RunOpenError
from permissions.model import Completed, Denial
from permissions.plan.model import plan_from
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.testing import Person, memory_broker
from permissions.tools.call import ToolCall
from wardline import FreeText, PathArg, tool

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.plan.model import Plan

HOUR = 3600 * 1_000_000


@tool(effect="read", impact="low")
async def read_note(path: Annotated[str, PathArg()]) -> str:
    """Gives untrusted text."""
    return f"an attacker wrote report-{path}"


@tool(effect="write", impact="low", output="trusted")
async def write_note(
    path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]
) -> str:
    """Writes nothing, for this test."""
    return "written"


@tool(effect="irreversible", impact="low")
async def send_note() -> str:
    """Cannot be undone, so a person is asked."""
    return "sent"


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    work = tmp_path / "work"
    work.mkdir()
    return BrokerConfig.load(state=tmp_path / "state", workspace=work, sandbox={"backends": ()})


def declared() -> Plan:
    return plan_from(
        {
            "id": "notes",
            "goal": "read one note, write one",
            "subject": "agent:bot",
            "on_behalf_of": "user:alice",
            "budget": {"calls": 2},
            "expires_at": now_us() + HOUR,
            "steps": [
                {
                    "id": "read",
                    "tool": "read_note",
                    "arguments": {"path": {"literal": "a.txt"}},
                },
                {
                    "id": "write",
                    "tool": "write_note",
                    "needs": ["read"],
                    "arguments": {
                        "path": {"literal": "b.txt"},
                        "text": {"hole": {"type": "string"}, "kind": "free_text"},
                    },
                },
            ],
        }
    )


READ = ToolCall("read_note", {"path": "a.txt"})
WRITE = ToolCall("write_note", {"path": "b.txt", "text": "hello"})


def codes(denial: Denial) -> list[str]:
    return [reason.code for reason in denial.reasons]


async def test_a_used_step_stays_used(config: BrokerConfig) -> None:
    plan = declared()
    async with open_broker(config, [read_note, write_note]) as broker:
        async with open_session(broker, user="alice", agent="bot", run="r", plan=plan) as s:
            assert isinstance(await broker.call(s, READ), Completed)

    async with open_broker(config, [read_note, write_note]) as broker:
        async with open_session(broker, user="alice", agent="bot", run="r", plan=plan) as s:
            again = await broker.call(s, READ)
            later = await broker.call(s, WRITE)

    assert isinstance(again, Denial)
    assert codes(again) == ["approval.unavailable", "plan.exhausted"]
    assert isinstance(later, Completed)


async def test_a_plan_holds_also_when_it_is_not_declared_again(config: BrokerConfig) -> None:
    async with open_broker(config, [read_note, write_note]) as broker:
        async with open_session(broker, user="alice", agent="bot", run="r", plan=declared()):
            pass

    async with open_broker(config, [read_note, write_note]) as broker:
        async with open_session(broker, user="alice", agent="bot", run="r") as s:
            early = await broker.call(s, WRITE)

    assert isinstance(early, Denial)
    assert codes(early) == ["approval.unavailable", "plan.not_ready"]


async def test_another_plan_is_refused(config: BrokerConfig) -> None:
    async with open_broker(config, [read_note, write_note]) as broker:
        async with open_session(
            broker, user="alice", agent="bot", run="r", plan=declared()
        ) as s:
            await broker.call(s, READ)
        other = declared().model_copy(update={"goal": "something else"})
        with pytest.raises(PlanError, match="declared once"):
            async with open_session(broker, user="alice", agent="bot", run="r", plan=other):
                pass


async def test_untrusted_words_stay_untrusted(config: BrokerConfig) -> None:
    async with (
        open_broker(config, [read_note, write_note]) as broker,
        open_session(broker, user="alice", agent="bot", run="r", prompt="tidy up") as s,
    ):
        await broker.call(s, READ)

    async with open_broker(config, [read_note, write_note]) as broker:
        async with open_session(broker, user="alice", agent="bot", run="r") as s:
            hijacked = await broker.explain(
                s, ToolCall("write_note", {"path": "report-a.txt", "text": "x"})
            )

    assert hijacked.facts is not None
    assert s.labels == {"untrusted"}
    leaf = hijacked.facts["context"]["provenance"]["/path"]
    assert (leaf["trusted"], leaf["origin"]) in {(False, "tool"), (False, "unknown")}
    assert s.history.document()[0]["tool"] == "read_note"


async def test_a_run_has_one_session_at_a_time(config: BrokerConfig) -> None:
    async with (
        open_broker(config, [read_note]) as broker,
        open_session(broker, user="alice", run="r"),
    ):
        with pytest.raises(RunOpenError, match="open session"):
            async with open_session(broker, user="alice", run="r"):
                pass


async def test_a_run_keeps_its_budget(config: BrokerConfig) -> None:
    async with open_broker(config, [read_note]) as broker:
        async with open_session(broker, user="alice", run="r", budgets={"calls": 1}) as s:
            assert isinstance(await broker.call(s, READ), Completed)

    async with open_broker(config, [read_note]) as broker:
        async with open_session(broker, user="alice", run="r", budgets={"calls": 1}) as s:
            spent = await broker.call(s, READ)
        with pytest.raises(BudgetError):
            async with open_session(broker, user="alice", run="r", budgets={"calls": 9}):
                pass

    assert isinstance(spent, Denial)
    assert spent.code == "budgets.spent"


async def test_a_plan_that_expired_while_a_person_thought_is_over(tmp_path: Path) -> None:
    """An approval is for the call as it stands when it is given, not when it was asked for."""
    person = Person("olga", ("operators",))
    async with memory_broker([send_note], people=[person], workspace=tmp_path) as broker:
        plan = plan_from(
            {
                "id": "send",
                "goal": "send one note",
                "subject": "agent:bot",
                "on_behalf_of": "user:alice",
                "budget": {"calls": 1},
                "expires_at": broker.clock() + 60 * 1_000_000,
                "steps": [{"id": "send", "tool": "send_note", "arguments": {}}],
            }
        )

        async def think_long() -> None:
            while not (asked := await broker.parts.approvals.listed(pending_only=True)):
                await anyio.lowlevel.checkpoint()
            broker.clock.advance(120)
            await person.answer(broker, asked[0].id, "approve")

        async with (
            open_session(
                broker, user="alice", agent="bot", plan=plan, approval_mode="wait"
            ) as session,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(think_long)
            late = await broker.call(session, ToolCall("send_note", {}))

    assert isinstance(late, Denial)
    assert late.code == "approval.invalid"  # it was for a step of a plan that is over


async def test_a_run_keeps_its_budget_also_when_none_is_named(config: BrokerConfig) -> None:
    async with open_broker(config, [read_note]) as broker:
        async with open_session(broker, user="alice", run="r", budgets={"calls": 1}) as s:
            await broker.call(s, READ)
        async with open_session(broker, user="alice", run="r") as s:
            spent = await broker.call(s, READ)

    assert isinstance(spent, Denial)
    assert spent.code == "budgets.spent"


async def test_a_run_that_needs_a_plan_goes_on_needing_it(config: BrokerConfig) -> None:
    async with open_broker(config, [read_note]) as broker:
        async with open_session(broker, user="alice", run="r", plan_required=True):
            pass
        async with open_session(broker, user="alice", run="r") as s:
            unplanned = await broker.call(s, READ)

    assert isinstance(unplanned, Denial)
    assert unplanned.code == "plan.missing"


async def test_a_run_belongs_to_its_subject(config: BrokerConfig) -> None:
    async with open_broker(config, [read_note]) as broker:
        async with open_session(broker, user="alice", agent="bot", run="r"):
            pass
        with pytest.raises(RunOpenError, match="another subject"):
            async with open_session(broker, user="mallory", agent="bot", run="r"):
                pass


async def test_a_lost_journal_does_not_run_a_call_twice(config: BrokerConfig) -> None:
    """The trace knows which keyed calls began, whatever became of the journal."""
    call = ToolCall("read_note", {"path": "a.txt"}, key="once")
    async with open_broker(config, [read_note]) as broker:
        async with open_session(broker, user="alice", run="r") as s:
            assert isinstance(await broker.call(s, call), Completed)
    with closing(sqlite3.connect(config.state / "state.db", isolation_level=None)) as state:
        assert state.execute("DELETE FROM journal").rowcount == 1

    async with open_broker(config, [read_note]) as broker:
        async with open_session(broker, user="alice", run="r") as s:
            again = await broker.call(s, call)

    assert isinstance(again, Denial)
    assert again.kind == "in_doubt"
