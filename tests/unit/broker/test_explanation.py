"""Explaining a call: the same answer as asking for it, and nothing else happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from permissions.broker.explanation import Explanation
from permissions.errors import PdpUnavailableError
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.testing import (
    asking,
    denied,
    memory_broker,
    permitted,
)
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from permissions.model import JsonObject

RAN: list[str] = []


@tool(effect="write", impact="low")
async def act(text: str) -> None:
    """Notes that it ran."""
    RAN.append(text)


@dataclass(frozen=True)
class Case:
    id: str
    text: str
    verdict: str
    code: str | None
    approvers: tuple[str, ...] = ()


CASES = [
    Case("permitted", "permit", "allow", None),
    Case("denied", "deny", "deny", "test.denied"),
    Case("a person", "ask", "ask", "test.needs_person", ("finance",)),
    Case("no answer", "down", "deny", "policy.unavailable"),
]


def decide(document: JsonObject) -> JsonObject:
    match document["resource"]["properties"]["args"]["text"]:
        case "permit":
            return permitted(
                {"id": "e", "type": "evidence", "properties": {"level": "durable"}}
            )
        case "deny":
            return denied(operator="x-operator")
        case "ask":
            return asking("finance")
        case _:
            raise PdpUnavailableError("x-operator")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_an_explanation_says_what_would_be_decided_and_does_nothing(case: Case) -> None:
    RAN.clear()
    async with (
        memory_broker([act], decide=decide) as broker,
        open_session(broker) as session,
    ):
        before = len(broker.trace.entries)
        explained = await broker.explain(session, ToolCall("act", {"text": case.text}))
        by_guard = await act.guard.explain(case.text)
        asked = await broker.parts.approvals.listed(pending_only=False)
        used = await session.budgets.used(session.run)
        recorded = len(broker.trace.entries) - before
        result = await broker.call(session, ToolCall("act", {"text": case.text}))

    assert (explained.verdict, explained.approvers) == (case.verdict, case.approvers)
    assert isinstance(by_guard, Explanation)
    assert (by_guard.verdict, by_guard.reasons) == (explained.verdict, explained.reasons)
    assert [each.code for each in explained.reasons] == ([case.code] if case.code else [])
    assert (recorded, asked, used) == (0, (), {"calls": 0})
    assert isinstance(result, Completed) is (case.verdict == "allow")
    assert (["permit"] if case.verdict == "allow" else []) == RAN
    assert "x-operator" not in str(explained)


async def test_what_never_gets_to_a_policy_is_explained_too() -> None:
    async with (
        memory_broker([act], decide=decide) as broker,
        open_session(broker) as session,
    ):
        unknown = await broker.explain(session, ToolCall("nothing", {}))
        wrong = await broker.explain(session, ToolCall("act", {"text": 5}))

    assert unknown.reasons[0].code == "tool.unregistered"
    assert wrong.reasons[0].code == "arguments.invalid"
    assert unknown.facts is wrong.facts is None


async def test_it_reads_well() -> None:
    async with (
        memory_broker([act], decide=decide) as broker,
        open_session(broker) as session,
    ):
        allowed = await broker.explain(session, ToolCall("act", {"text": "permit"}))
        asks = await broker.explain(session, ToolCall("act", {"text": "ask"}))

    assert str(allowed) == "act: allow\n  must    evidence"
    assert str(asks).splitlines() == [
        "act: ask",
        "  because A person has to look. [test.needs_person]",
        "  rules   test.needs_person",
        "  ask     finance",
    ]
