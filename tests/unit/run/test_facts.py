"""Facts: what trusted reads told, bounded, and stale once something may have changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from permissions.errors import ToolDefinitionError
from permissions.run.facts import MAX_BYTES, MAX_FACTS, MAX_RECORD, Facts
from permissions.sessions.open import open_session
from permissions.testing import memory_broker
from permissions.tools.call import ToolCall
from permissions.tools.decorator import tool
from permissions.tools.fact_kinds import fact_kinds

if TYPE_CHECKING:
    from permissions.vocabulary import JsonValue

KINDS = fact_kinds(["booking by id"])


def learned(*results: JsonValue) -> Facts:
    facts = Facts()
    for index, result in enumerate(results):
        facts.learn(KINDS, result, call=f"call-{index}", entry=index)
    return facts


def test_a_record_is_known_by_its_key_and_names_where_it_came_from() -> None:
    facts = learned({"id": "B1", "seats": 2}, [{"id": 7}, {"seats": 1}, "text"])

    assert facts.document() == {
        "booking": {
            "B1": {
                "value": {"id": "B1", "seats": 2},
                "call": "call-0",
                "entry": 0,
                "stale": False,
            },
            "7": {"value": {"id": 7}, "call": "call-1", "entry": 1, "stale": False},
        }
    }


def test_a_call_with_an_effect_makes_what_it_names_stale_until_it_is_read_again() -> None:
    facts = learned([{"id": "B1"}, {"id": "B2"}])
    facts.note_effect({"change": {"booking": ["B1"]}})

    assert {k: v["stale"] for k, v in facts.document()["booking"].items()} == {
        "B1": True,
        "B2": False,
    }
    facts.learn(KINDS, {"id": "B1"}, call="call-9", entry=9)
    assert not facts.document()["booking"]["B1"]["stale"]


def test_facts_are_bounded_and_the_oldest_go() -> None:
    many = learned([{"id": f"B{n}"} for n in range(MAX_FACTS + 5)])
    assert len(many.document()["booking"]) == MAX_FACTS
    assert "B0" not in many.document()["booking"]

    text = "x" * (MAX_RECORD - 100)
    wide = learned([{"id": f"B{n}", "text": text} for n in range(40)])
    assert len(wide.document()["booking"]) * MAX_RECORD <= MAX_BYTES + MAX_RECORD


def test_a_record_that_is_too_large_is_none_and_does_not_leave_an_old_one() -> None:
    facts = learned({"id": "B1"}, {"id": "B1", "text": "x" * MAX_RECORD})

    assert facts.document() == {}


@pytest.mark.parametrize("spelling", ["booking", "booking by", "Booking by id", "a by b c", ""])
def test_what_is_no_kind_of_record_is_refused(spelling: str) -> None:
    with pytest.raises(ToolDefinitionError, match="facts"):
        fact_kinds([spelling])


@pytest.mark.parametrize(
    "options", [{"output": "untrusted"}, {"output": "trusted", "effect": "write"}], ids=str
)
def test_only_trusted_reads_tell_facts(options: dict[str, Any]) -> None:
    with pytest.raises(ToolDefinitionError, match="no fact"):
        tool(**{"effect": "read", "facts": ["booking by id"], **options})(change_booking_untold)


@tool(effect="read", impact="low", output="trusted", facts=["booking by id"])
async def read_booking(key: str) -> dict[str, str]:
    return {"id": key}


def change_booking_untold() -> None: ...


@tool(effect="write", impact="low")
async def change_booking(key: str) -> str:
    return "done"


async def test_policies_see_facts_from_the_next_call_on() -> None:
    seen: list[Any] = []

    def decide(document: Any) -> Any:
        seen.append(document["context"]["facts"])
        context = {"reasons": [], "obligations": [], "access_request": None, "rules": []}
        return {"decision": True, "context": context}

    tools = [read_booking, change_booking]
    async with memory_broker(tools, decide=decide) as broker, open_session(broker) as run:
        await broker.call(run, ToolCall("read_booking", {"key": "B1"}))
        await broker.call(run, ToolCall("change_booking", {"key": "B1"}))
        await broker.call(run, ToolCall("change_booking", {"key": "B1"}))

    assert seen[0] == {}
    assert seen[1]["booking"]["B1"]["value"] == {"id": "B1"}
    assert seen[1]["booking"]["B1"]["stale"] is False
    assert seen[2]["booking"]["B1"]["stale"] is True
