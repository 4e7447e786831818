"""References that people can write: any field of a step, and a choice among its records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from permissions.errors import PlanError
from permissions.plan.cursor import PlanCursor
from permissions.plan.model import Reference, plan_from
from permissions.plan.selection import selected
from permissions.plan.verifier import verify_plan
from permissions.tools.decorator import tool
from permissions.tools.registry import ToolRegistry
from permissions.tools.trusted_fields import TrustedFields

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject, JsonValue

FILES: JsonValue = [
    {"id": "f1", "size": 10, "owner": "ann", "shared": True, "text": "evil-1"},
    {"id": "f2", "size": 30, "owner": "bob", "shared": False, "text": "evil-2"},
    {"id": "f3", "size": 20, "owner": "ann", "shared": False},
    {"size": 40, "owner": "ann"},
    "no record",
]


@dataclass(frozen=True)
class Case:
    id: str
    reference: JsonObject
    found: tuple[Any, ...]


CASES = [
    Case("a field", {"pointer": "/1/id"}, ("f2",)),
    Case("no such field", {"pointer": "/9/id"}, ()),
    Case("the first", {"select": "first", "pointer": "/id"}, ("f1",)),
    Case(
        "the first of some",
        {"select": "first", "pointer": "/id", "where": {"/size": 20}},
        ("f3",),
    ),
    Case(
        "the only one",
        {"select": "only", "pointer": "/id", "where": {"/owner": "bob"}},
        ("f2",),
    ),
    Case(
        "not the only one", {"select": "only", "pointer": "/id", "where": {"/owner": "ann"}}, ()
    ),
    Case("the smallest", {"select": "min", "by": "/size", "pointer": "/id"}, ("f1",)),
    Case(
        "the largest of some",
        {"select": "max", "by": "/size", "pointer": "/id", "where": {"/shared": False}},
        ("f2",),
    ),
    Case("one without the member", {"select": "max", "by": "/size", "pointer": "/id"}, ()),
    Case("the last by name", {"select": "max", "by": "/owner", "pointer": "/id"}, ("f2",)),
    Case("two that tie", {"select": "min", "by": "/owner", "pointer": "/id"}, ()),
    Case("how many", {"select": "count", "where": {"/owner": "ann"}}, (3,)),
    Case("a truth is no number", {"select": "count", "where": {"/shared": 1}}, (0,)),
    Case("a total", {"select": "sum", "pointer": "/size"}, (100,)),
    Case("a total of what not all have", {"select": "sum", "pointer": "/id"}, ()),
    Case("no list", {"select": "count", "records": "/0"}, ()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_a_reference_leads_to(case: Case) -> None:
    reference = Reference.model_validate({"step": "files", **case.reference})

    assert selected(reference, FILES, TrustedFields(["id"])) == case.found


def test_any_field_is_one_that_the_service_fills_in() -> None:
    reference = Reference(step="files", any=True)

    assert set(selected(reference, FILES, TrustedFields(["id", "/*/size"]))) == {
        *("f1", "f2", "f3"),
        *(10, 20, 30, 40),
    }
    assert "evil-1" in selected(reference, FILES, None)


def test_decimals_add_up_exactly() -> None:
    reference = Reference(step="s", select="sum", pointer="/n")

    assert selected(reference, [{"n": 0.1}, {"n": 0.2}], None) == (0.3,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"any": True, "pointer": "/a"},
        {"any": True, "select": "first"},
        {"where": {"/a": 1}},
        {"select": "max", "pointer": "/a"},
        {"select": "first", "by": "/a"},
        {"select": "sum"},
        {"select": "count", "pointer": "/a"},
        {"select": "last"},
    ],
    ids=str,
)
def test_what_says_two_things_or_none_is_refused(wrong: JsonObject) -> None:
    with pytest.raises(PlanError):
        declared({"step": "files", **wrong})


@tool(effect="read", trusted_fields=["id", "size"])
def list_files() -> list[dict[str, Any]]:
    return []


@tool(effect="irreversible", control=["file"])
def delete(file: str) -> str:
    return file


TOOLS = {each.name: each for each in ToolRegistry([list_files, delete])}


def declared(argument: JsonObject) -> Any:
    return plan_from(
        {
            "id": "p",
            "goal": "delete one file",
            "subject": "agent:a",
            "budget": {"calls": 5},
            "expires_at": 9,
            "steps": [
                {"id": "files", "tool": "list_files"},
                {
                    "id": "del",
                    "tool": "delete",
                    "needs": ["files"],
                    "arguments": {"file": argument},
                },
            ],
        }
    )


def cursor(argument: JsonObject) -> PlanCursor:
    plan = declared(argument)
    verdict = verify_plan(plan, TOOLS, now=1)
    assert verdict.accepted, verdict.problems
    found = PlanCursor.start(plan, TOOLS, verdict)
    listing = match(found, "list_files", {})
    found = found.reserve(listing, call="c1")
    return found.complete("c1", FILES)


def match(found: PlanCursor, name: str, arguments: JsonObject) -> Any:
    return found.match(name, arguments, tool_digest=TOOLS[name].digest, now=2, provenance={})


def test_the_chosen_record_is_held_to() -> None:
    chosen = cursor(
        {
            "step": "files",
            "select": "max",
            "by": "/size",
            "pointer": "/id",
            "where": {"/size": 30},
        }
    )

    found = match(chosen, "delete", {"file": "f2"})
    assert (found.verdict, found.pinned) == ("matched", {"file"})
    other = match(chosen, "delete", {"file": "f1"})
    assert other.verdict == "mismatch"
    assert "'/id' (max) of what files returned" in other.detail


def test_any_field_is_matched_and_pins_nothing() -> None:
    """Which of the genuine ids it is, the agent said: that is no word of the plan's."""
    any_of = cursor({"step": "files", "any": True})

    found = match(any_of, "delete", {"file": "f2"})
    assert (found.verdict, found.pinned) == ("matched", frozenset())
    assert match(any_of, "delete", {"file": "evil-1"}).verdict == "mismatch"


@pytest.mark.parametrize(
    "argument",
    [
        {"step": "files", "select": "first", "pointer": "/text"},
        {"step": "files", "select": "first", "pointer": "/id", "where": {"/owner": "ann"}},
        {"step": "files", "select": "max", "by": "/text", "pointer": "/id"},
    ],
    ids=str,
)
def test_a_choice_that_an_untrusted_field_has_a_say_in_is_tainted(argument: JsonObject) -> None:
    verdict = verify_plan(declared(argument), TOOLS, now=1)

    assert [each.code for each in verdict.problems] == ["plan.tainted_control"]


def test_any_field_of_a_tool_that_vouches_for_none_is_no_reference() -> None:
    @tool(effect="read", name="list_files")
    def unvouched() -> str:
        return ""

    tools = {**TOOLS, "list_files": unvouched.guard.definition}
    verdict = verify_plan(declared({"step": "files", "any": True}), tools, now=1)

    assert "plan.reference_field" in [each.code for each in verdict.problems]
