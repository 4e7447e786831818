"""A plan is read strictly, and named by what it means."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from permissions.errors import PlanError
from permissions.plan.model import (
    Hole,
    Plan,
    parse_plan,
    plan_from,
    plan_schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import JsonObject


@dataclass(frozen=True)
class Case:
    id: str
    edit: Callable[[JsonObject], Any]
    says: str


def argument(value: JsonObject) -> Callable[[JsonObject], Any]:
    return lambda plan: plan["steps"][0]["arguments"].update(name=value)


REFUSED = [
    Case("unknown member", lambda p: p.update(colour="red"), "colour: Extra inputs"),
    Case("no steps", lambda p: p.update(steps=[]), "steps"),
    Case("no expiry", lambda p: p.pop("expires_at"), "expires_at"),
    Case("expiry as text", lambda p: p.update(expires_at="soon"), "expires_at"),
    Case("uses of zero", lambda p: p["steps"][0].update(uses=0), "steps/0/uses"),
    Case("uses as a boolean", lambda p: p["steps"][0].update(uses=True), "steps/0/uses"),
    Case("id with a space", lambda p: p["steps"][0].update(id="a b"), "steps/0/id"),
    Case("subject without a type", lambda p: p.update(subject="clerk"), "subject"),
    Case("bare value", lambda p: p["steps"][0]["arguments"].update(name="x"), "exactly one"),
    Case("two forms at once", argument({"literal": 1, "user": 1}), "exactly one"),
    Case("no form", argument({"value": 1}), "exactly one"),
    Case("form with a stray member", argument({"literal": 1, "unit": "EUR"}), "Extra inputs"),
    Case("pointer without slash", argument({"step": "a", "pointer": "b"}), "pointer"),
    Case("pointer with a bad escape", argument({"step": "a", "pointer": "/~2"}), "pointer"),
    Case("misspelt keyword", argument({"hole": {"type": "string", "patern": "a"}}), "patern"),
    Case(
        "format is not checked",
        argument({"hole": {"type": "string", "format": "uri"}}),
        "format",
    ),
    Case("reference out of the hole", argument({"hole": {"$ref": "http://x.example"}}), "$ref"),
    Case("schema of everything", argument({"hole": {}}), "needs a type"),
    Case("type that is none", argument({"hole": {"type": "text"}}), "not a JSON Schema"),
    Case(
        "pattern that could backtrack",
        argument({"hole": {"type": "string", "pattern": r"(a)\1"}}),
        "RE2",
    ),
    Case(
        "stray keyword deep inside",
        argument({"hole": {"type": "array", "items": {"type": "string", "if": {}}}}),
        "'if'",
    ),
    Case(
        "source that is none",
        argument({"hole": {"type": "null"}, "sources": ["god"]}),
        "sources",
    ),
    Case(
        "source list that is empty",
        argument({"hole": {"type": "null"}, "sources": []}),
        "sources",
    ),
    Case("integer no JSON reader agrees on", argument({"literal": 2**60}), "2^53"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_malformed_plan_is_refused(case: Case, document: JsonObject) -> None:
    case.edit(document)

    with pytest.raises(PlanError) as caught:
        parse_plan(json.dumps(document))
    assert case.says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "strict JSON"),
        ("[]", "not a plan"),
        ('{"id": "a", "id": "b"}', "same key twice"),
        ('{"id": NaN}', "NaN"),
        ("[" * 100_000, "strict JSON"),
        ("{" + " " * 300_000 + "}", "longer than"),
        (b"\xff\xfe\x00", "strict JSON"),
    ],
    ids=["empty", "list", "twice", "nan", "deep", "long", "bytes"],
)
def test_text_that_is_no_strict_json_is_refused(text: str | bytes, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        parse_plan(text)


def test_error_does_not_repeat_the_value(document: JsonObject) -> None:
    """A value of an argument never stands in an error."""
    document["steps"][0]["arguments"]["name"] = {"literal": "s3cret", "user": "s3cret"}

    with pytest.raises(PlanError) as caught:
        plan_from(document)
    assert "s3cret" not in str(caught.value)


def test_digest_follows_meaning_not_spelling(document: JsonObject) -> None:
    """Key order, white space and spelt-out defaults do not change a plan's name."""
    terse = parse_plan(json.dumps(document))
    document["steps"][0]["uses"] = 1
    document["steps"][0]["needs"] = []
    wordy = parse_plan(json.dumps(document, sort_keys=True, indent=4))

    assert wordy.digest == terse.digest


def test_digest_changes_with_each_member(plan: Plan, document: JsonObject) -> None:
    """No member can be changed under a signature."""
    changed = [
        {**document, "goal": "other"},
        {**document, "on_behalf_of": None},
        {**document, "budget": {"calls": 6}},
        {**document, "expires_at": document["expires_at"] + 1},
        {**document, "read_scope": []},
        {**document, "steps": document["steps"][:2]},
    ]

    assert len({plan.digest, *(plan_from(each).digest for each in changed)}) == 7


def test_payload_reads_back_as_the_same_plan(plan: Plan) -> None:
    assert parse_plan(plan.payload()) == plan


def test_holes_for_control_admit_no_attacker_by_default() -> None:
    control = Hole(hole={"type": "string"})
    free = Hole(hole={"type": "string"}, kind="free_text")

    assert not control.admits_untrusted
    assert free.admits_untrusted


def test_schema_takes_what_the_reader_takes(document: JsonObject) -> None:
    """The schema handed to a model accepts the plan, and refuses an argument of no form."""
    validator = Draft202012Validator(plan_schema())

    validator.validate(document)
    document["steps"][0]["arguments"]["name"] = {"value": 1}
    assert not validator.is_valid(document)


def test_pinned_values_are_literals_and_user_values(plan: Plan) -> None:
    assert list(plan.pinned_values()) == ["ACME", "march.pdf"]
