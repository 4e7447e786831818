"""A call in doubt is resolved by a person, signed and recorded, and by nothing else."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from permissions.approval.resolution import DoubtfulCall, sign_resolution
from permissions.broker.call import Admission
from permissions.errors import ExecutionError
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.signing.canonical import digest
from permissions.testing import Person, memory_broker, permitted
from permissions.tools.call import ToolCall
from permissions.trace.restated import CallFacts, Opened
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.approval.resolution import Found
    from permissions.execution.journal import JournalKey
    from permissions.run.state import RunState
    from permissions.testing import MemoryBroker

OLGA = Person("olga")
CALL = ToolCall("pay", {"to": "acme"}, key="pay-1")


@tool(effect="send", impact="high")
async def pay(to: str) -> str:
    """Pays."""
    return f"paid {to}"


@asynccontextmanager
async def in_doubt() -> AsyncIterator[tuple[MemoryBroker, RunState, JournalKey, str]]:
    """A call that was begun, and whose caller is gone."""
    async with (
        memory_broker([pay], decide=lambda _: permitted()) as broker,
        open_session(broker, user="alice") as session,
    ):
        admitted = await broker.admit(session, CALL)
        assert isinstance(admitted, Admission)
        assert admitted.key is not None
        await broker.abandon(admitted)
        yield broker, session, admitted.key, admitted.id


def statement(
    key: JournalKey,
    named: str,
    found: Found,
    *,
    by: Person = OLGA,
    note: str = "",
    **other: str,
) -> str:
    about = {
        "call": named,
        "run": key.run,
        "key_digest": digest(key.call.encode()),
        "tool_digest": key.tool_digest,
        "args_digest": key.args_digest,
    }
    return sign_resolution(
        DoubtfulCall(**{**about, **other}),  # type: ignore[arg-type]
        found,
        approver="olga",
        note=note,
        now=1,
        signer=by.signer,
    )


async def test_what_ran_is_not_run_again_and_the_agent_hears_it() -> None:
    async with in_doubt() as (broker, session, key, call):
        said = await broker.call(session, CALL)
        assert isinstance(said, Denial)
        assert said.code == "call.in_doubt"
        found = statement(key, call, "ran", note="the bank shows it")
        await broker.parts.journal.resolve(key, statement=found)
        for _ in range(2):
            said = await broker.call(session, CALL)
            assert isinstance(said, Denial)
            assert said.code == "call.resolved"
            assert "the bank shows it" in said.reasons[0].agent
        recorded = [each for each in broker.trace.entries if each.type == "resolution"]

    assert [each.body for each in recorded] == [
        {"of": call, "found": "ran", "approver": "olga"}
    ] * 2
    entry = recorded[0]
    facts = CallFacts()
    for body, expected in ((dict(entry.body), 0), ({**entry.body, "approver": "bob"}, 1)):
        opened = Opened(
            "resolution", body, frozenset(entry.contents), entry.contents, lambda *_: []
        )
        assert len(list(facts.contradictions(opened))) == expected


@pytest.mark.parametrize("found", ["did-not-run", "run-again"])
async def test_what_may_run_runs_once_when_it_is_asked_for(found: Found) -> None:
    async with in_doubt() as (broker, session, key, call):
        await broker.parts.journal.resolve(key, statement=statement(key, call, found))
        first = await broker.call(session, CALL)
        again = await broker.call(session, CALL)

    assert isinstance(first, Completed)
    assert not first.replayed
    assert isinstance(again, Completed)
    assert again.replayed


OTHERS = {
    "another call": {"args_digest": "sha256:" + "0" * 64},
    "another key": {"key_digest": "sha256:" + "0" * 64},
    "another run": {"run": "run-0"},
    "a call that has an end": {"call": "call-0"},
}


@pytest.mark.parametrize("name", OTHERS)
async def test_what_is_about_another_call_resolves_nothing(name: str) -> None:
    async with in_doubt() as (broker, session, key, call):
        found = statement(key, call, "run-again", **OTHERS[name])
        await broker.parts.journal.resolve(key, statement=found)
        said = await broker.call(session, CALL)

    assert isinstance(said, Denial)
    assert said.code == "call.in_doubt"


@pytest.mark.parametrize("forged", ["another signature", "no statement"])
async def test_what_no_approver_signed_resolves_nothing(forged: str) -> None:
    async with in_doubt() as (broker, session, key, call):
        text = (
            "{}"
            if forged == "no statement"
            else statement(key, call, "run-again", by=Person("eve"))
        )
        await broker.parts.journal.resolve(key, statement=text)
        said = await broker.call(session, CALL)

    assert isinstance(said, Denial)
    assert said.code == "call.in_doubt"


async def test_a_call_that_still_runs_is_not_begun_again_by_a_statement() -> None:
    """Nobody says that its end is unknown, so it is not open to anybody's answer."""
    async with (
        memory_broker([pay], decide=lambda _: permitted()) as broker,
        open_session(broker, user="alice") as session,
    ):
        runs = await broker.admit(session, CALL)
        assert isinstance(runs, Admission)
        assert runs.key is not None
        found = statement(runs.key, runs.id, "run-again")
        await broker.parts.journal.resolve(runs.key, statement=found)
        said = await broker.call(session, CALL)
        assert isinstance(said, Denial)
        assert said.code == "call.in_doubt"
        await broker.abandon(runs)


async def test_what_has_an_end_or_an_answer_is_not_resolved() -> None:
    async with in_doubt() as (broker, session, key, call):
        await broker.parts.journal.resolve(key, statement=statement(key, call, "run-again"))
        with pytest.raises(ExecutionError):
            await broker.parts.journal.resolve(key, statement=statement(key, call, "ran"))
        await broker.call(session, CALL)
        with pytest.raises(ExecutionError):
            await broker.parts.journal.resolve(key, statement=statement(key, call, "ran"))


async def test_a_resolution_of_an_earlier_run_begins_none_beside_one_that_runs() -> None:
    async with in_doubt() as (broker, session, key, call):
        await broker.parts.journal.resolve(key, statement=statement(key, call, "run-again"))
        running = await broker.admit(session, CALL)
        assert isinstance(running, Admission)
        await broker.parts.journal.resolve(key, statement=statement(key, call, "run-again"))
        beside = await broker.admit(session, CALL)
        assert isinstance(beside, Denial)
        assert beside.code == "call.in_doubt"
        await broker.abandon(running)  # and by now it is the same doubt
        assert isinstance(await broker.admit(session, CALL), Admission)
