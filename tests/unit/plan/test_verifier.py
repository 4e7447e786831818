"""Each rule of the verifier: one thing wrong with a good plan, one problem found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from permissions.plan.model import Plan, PlannedTool, plan_from
from permissions.plan.steps import run_order, step_arguments
from permissions.plan.verifier import verify_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.model import JsonObject
    from permissions.plan.verdict import PlanVerdict

NOW = 1_795_500_000_000_000
CONTACT, INVOICE, PAY = 0, 1, 2
IBAN = {"type": "string", "pattern": "DE[0-9]{20}", "maxLength": 22}


def step(index: int, **members: Any) -> Callable[[JsonObject], Any]:
    return lambda plan: plan["steps"][index].update(members)


def argument(index: int, name: str, value: JsonObject) -> Callable[[JsonObject], Any]:
    return lambda plan: plan["steps"][index]["arguments"].update({name: value})


def drop(index: int, name: str) -> Callable[[JsonObject], Any]:
    return lambda plan: plan["steps"][index]["arguments"].pop(name)


def hole(schema: JsonObject, **members: Any) -> JsonObject:
    return {"hole": schema, **members}


def from_invoice(pointer: str, **members: Any) -> JsonObject:
    return {"step": "invoice", "pointer": pointer, **members}


ANY = ["user", "tool", "untrusted", "unknown"]


@dataclass(frozen=True)
class Case:
    id: str
    edit: Callable[[JsonObject], Any]
    code: str
    step: str | None


WRONG = [
    Case("same id twice", step(CONTACT, id="invoice"), "plan.duplicate_step", "invoice"),
    Case("need of nothing", step(CONTACT, needs=["ghost"]), "plan.unknown_need", "contact"),
    Case("need of itself", step(INVOICE, needs=["invoice"]), "plan.cycle", None),
    Case("circle", step(CONTACT, needs=["pay"]), "plan.cycle", None),
    Case("tool nobody has", step(INVOICE, tool="read_mind"), "plan.unknown_tool", "invoice"),
    Case(
        "tool that changed",
        step(PAY, tool_digest="sha256:" + "0" * 64),
        "plan.tool_changed",
        "pay",
    ),
    Case(
        "argument nobody has",
        argument(PAY, "speed", {"literal": 1}),
        "plan.unknown_argument",
        "pay",
    ),
    Case("required argument left out", drop(PAY, "cents"), "plan.missing_argument", "pay"),
    Case(
        "literal of the wrong type",
        argument(PAY, "cents", {"literal": "980"}),
        "plan.value_refused",
        "pay",
    ),
    Case(
        "user value of the wrong type",
        argument(CONTACT, "name", {"user": 7}),
        "plan.value_refused",
        "contact",
    ),
    Case(
        "hole of the wrong type",
        argument(PAY, "note", hole({"type": "integer"}, kind="free_text")),
        "plan.hole_type",
        "pay",
    ),
    Case(
        "hole wider than the tool",
        argument(PAY, "cents", hole({"type": "number"}, sources=["user"])),
        "plan.hole_type",
        "pay",
    ),
    Case(
        "hole that lists what the tool refuses",
        argument(PAY, "note", hole({"enum": ["a", None]}, kind="free_text")),
        "plan.hole_type",
        "pay",
    ),
    Case(
        "free text for a control argument",
        argument(PAY, "account", hole(IBAN, kind="free_text")),
        "plan.hole_kind",
        "pay",
    ),
    Case(
        "reference to a step that need not have run",
        step(PAY, needs=["contact"]),
        "plan.reference_order",
        "pay",
    ),
    Case(
        "reference to itself",
        argument(PAY, "note", {"step": "pay", "pointer": ""}),
        "plan.reference_order",
        "pay",
    ),
    Case(
        "reference to a field nobody returns",
        argument(PAY, "note", from_invoice("/iban")),
        "plan.reference_field",
        "pay",
    ),
    Case(
        "reference below a scalar",
        argument(PAY, "note", from_invoice("/text/0")),
        "plan.reference_field",
        "pay",
    ),
    Case(
        "reference of another type",
        argument(PAY, "note", from_invoice("/cents")),
        "plan.reference_type",
        "pay",
    ),
    Case(
        "an untrusted field as the account",
        argument(PAY, "account", from_invoice("/account")),
        "plan.tainted_control",
        "pay",
    ),
    Case(
        "an extractor that lets prose through",
        argument(
            PAY,
            "account",
            from_invoice(
                "/account", extract={"type": "string", "pattern": ".*", "maxLength": 99}
            ),
        ),
        "plan.tainted_control",
        "pay",
    ),
    Case(
        "an extractor without a length",
        argument(
            PAY,
            "account",
            from_invoice("/account", extract={"type": "string", "pattern": "DE[0-9]*"}),
        ),
        "plan.tainted_control",
        "pay",
    ),
    Case(
        "an amount without an upper bound",
        argument(
            PAY, "cents", from_invoice("/cents", extract={"type": "integer", "minimum": 0})
        ),
        "plan.tainted_control",
        "pay",
    ),
    Case(
        "an open control hole for anybody",
        argument(PAY, "account", hole({"type": "string"}, sources=ANY)),
        "plan.tainted_control",
        "pay",
    ),
    Case("scope beyond reads", lambda p: p.update(read_scope=["pay"]), "plan.scope_tool", None),
    Case("scope of nothing", lambda p: p.update(read_scope=["ls"]), "plan.scope_tool", None),
    Case("more uses than budget", step(INVOICE, uses=4), "plan.over_budget", None),
    Case("too late", lambda p: p.update(expires_at=NOW), "plan.expired", None),
]


def verify(document: JsonObject, tools: Mapping[str, PlannedTool]) -> PlanVerdict:
    return verify_plan(plan_from(document), tools, now=NOW)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.id)
def test_problem_is_found(
    case: Case, document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    case.edit(document)

    verdict = verify(document, tools)

    assert not verdict.accepted
    assert (case.code, case.step) in [(p.code, p.step) for p in verdict.problems]
    assert all(problem.fix for problem in verdict.problems)


FINE = [
    Case("as it stands", lambda _: None, "", None),
    Case(
        "narrow hole for anybody", argument(PAY, "account", hole(IBAN, sources=ANY)), "", None
    ),
    Case(
        "one of a list, for anybody",
        argument(PAY, "account", hole({"enum": ["DE1", "DE2"]}, sources=ANY)),
        "",
        None,
    ),
    Case(
        "boolean control for anybody",
        argument(PAY, "urgent", hole({"type": "boolean"}, sources=ANY)),
        "",
        None,
    ),
    Case(
        "field through a narrow pattern",
        argument(PAY, "account", from_invoice("/account", extract=IBAN)),
        "",
        None,
    ),
    Case(
        "free text from an untrusted source",
        argument(PAY, "note", from_invoice("/text")),
        "",
        None,
    ),
    Case("expiry one tick away", lambda p: p.update(expires_at=NOW + 1), "", None),
    Case("budget just enough", lambda p: p.update(budget={"calls": 3}), "", None),
]


@pytest.mark.parametrize("case", FINE, ids=lambda case: case.id)
def test_sound_plan_is_accepted(
    case: Case, document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    case.edit(document)

    assert verify(document, tools).problems == ()


def test_several_problems_are_found_at_once(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    """A planner can mend a plan in one go."""
    document["expires_at"] = 1
    document["steps"][CONTACT]["tool"] = "nobody"
    document["steps"][PAY]["arguments"]["cents"] = {"literal": "x"}

    codes = {problem.code for problem in verify(document, tools).problems}

    assert {"plan.expired", "plan.unknown_tool", "plan.value_refused"} <= codes


def test_problem_text_holds_no_argument_value(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    document["steps"][PAY]["arguments"]["cents"] = {"literal": "s3cret"}

    assert "s3cret" not in repr(verify(document, tools).problems)


def test_taint_runs_through_a_trusted_tool(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    """A trusted tool that is fed untrusted text vouches for nothing it returns."""
    document["steps"].insert(
        PAY,
        {
            "id": "loud",
            "tool": "shout",
            "needs": ["invoice"],
            "arguments": {"text": from_invoice("/text")},
        },
    )
    document["steps"][-1]["needs"].append("loud")
    document["steps"][-1]["arguments"]["account"] = {"step": "loud", "pointer": ""}

    verdict = verify(document, tools)

    assert [p.code for p in verdict.problems] == ["plan.tainted_control"]


def test_output_is_as_tainted_as_the_worst_argument(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    """A clean word beside an untrusted one does not clean the result."""
    document["steps"].insert(
        PAY,
        {
            "id": "joined",
            "tool": "join",
            "needs": ["invoice"],
            "arguments": {"first": {"literal": "DE"}, "second": from_invoice("/text")},
        },
    )
    document["steps"][-1]["needs"].append("joined")
    document["steps"][-1]["arguments"]["account"] = {"step": "joined", "pointer": ""}

    assert [p.code for p in verify(document, tools).problems] == ["plan.tainted_control"]


def test_extractor_on_a_clean_field_asks_nobody(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    document["steps"][PAY] |= {
        "tool": "file_away",
        "arguments": {
            "folder": {"step": "contact", "pointer": "/name", "extract": {"enum": ["ACME"]}}
        },
    }

    assert verify(document, tools).approvals_needed == ()


def test_lookup_by_an_extracted_key_may_steer_but_a_person_sees_it(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    """A lookup may echo its key, so what passed an extractor stays marked behind it."""
    document["steps"][CONTACT]["needs"] = ["invoice"]
    document["steps"][CONTACT]["arguments"]["name"] = from_invoice(
        "/text", extract={"enum": ["ACME", "Initech"]}
    )
    document["steps"][PAY] |= {
        "tool": "file_away",
        "arguments": {"folder": {"step": "contact", "pointer": "/name"}},
    }

    verdict = verify(document, tools)

    assert verdict.accepted
    assert verdict.approvals_needed == ("pay",)


def test_output_of_a_tool_with_effects_is_tainted(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    """Also when its manifest calls the output trusted: a write may repeat what it was given."""
    document["steps"][CONTACT] = {
        "id": "contact",
        "tool": "write_note",
        "arguments": {"text": {"literal": "hello"}},
    }
    document["steps"][PAY]["arguments"]["account"] = {"step": "contact", "pointer": ""}

    assert [p.code for p in verify(document, tools).problems] == ["plan.tainted_control"]


def test_users_words_are_held_to_what_was_said(
    plan: Plan, tools: Mapping[str, PlannedTool]
) -> None:
    """A planner cannot put words into the person's mouth."""
    verdict = verify_plan(plan, tools, now=NOW, said_by_user=lambda _: False)

    assert [(p.code, p.step) for p in verdict.problems] == [
        ("plan.user_value_unsaid", "contact")
    ]


def test_worst_case_counts_every_use(
    document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    document["steps"][INVOICE]["uses"] = 3

    worst = verify(document, tools).worst_case

    assert (worst.calls, worst.by_effect) == (5, {"read": 4, "send": 1})


@dataclass(frozen=True)
class ApprovalCase:
    id: str
    edit: Callable[[JsonObject], Any]
    steps: tuple[str, ...]


@pytest.mark.parametrize(
    "case",
    [
        ApprovalCase("high impact", lambda _: None, ("pay",)),
        ApprovalCase("nothing but reads", lambda p: p["steps"].pop(), ()),
        ApprovalCase(
            "no way back",
            step(PAY, tool="shred", arguments={"name": {"literal": "a"}}),
            ("pay",),
        ),
        ApprovalCase(
            "small, and nothing of an untrusted source",
            step(PAY, tool="file_away", arguments={"folder": {"literal": "paid"}}),
            (),
        ),
        ApprovalCase(
            "small, but an untrusted source chooses among folders",
            step(
                PAY,
                tool="file_away",
                arguments={"folder": from_invoice("/text", extract={"enum": ["a", "b"]})},
            ),
            ("pay",),
        ),
    ],
    ids=lambda case: case.id,
)
def test_steps_that_a_person_must_see(
    case: ApprovalCase, document: JsonObject, tools: Mapping[str, PlannedTool]
) -> None:
    case.edit(document)

    assert verify(document, tools).approvals_needed == case.steps


def test_known_arguments_are_told_from_open_ones(plan: Plan) -> None:
    found = {each.step: each for each in step_arguments(plan)}

    assert found["contact"].concrete
    assert found["contact"].known == {"name": "ACME"}
    assert found["pay"].open == ("account", "cents", "note")


def test_order_puts_needs_first_and_keeps_plan_order(document: JsonObject) -> None:
    document["steps"] = list(reversed(document["steps"]))

    ordered = run_order(plan_from(document))

    assert ordered is not None
    assert [each.id for each in ordered] == ["invoice", "contact", "pay"]
