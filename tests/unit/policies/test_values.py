"""Each reason of the shipped policies says which values its rule compared, and only such."""

from __future__ import annotations

import pytest
from policy_cases import DirectEngine, base_document, cases_bundle, decision_cases, merged

from permissions.model import Decision, Denial, Reason

NOTHING_TO_COMPARE = {
    "budgets.no_amount",
    "changes.unconfigured",
    "connection.unconfigured",
    "filesystem.unconfigured",
    "main.no_common_approvers",
    "main.stages_differ",
    "main.nothing_allows",
    "messaging.no_recipient",
    "shell.no_command",
}
ENGINE = DirectEngine(cases_bundle())
EUR = {"kind": "amount", "argument": "amount", "currency": "EUR", "minor": 200_000_000}


def reasons(patch: dict[str, object]) -> dict[str, Reason]:
    answer = Decision.from_response(ENGINE.ask(merged(base_document(), patch)))
    return {each.code: each for each in answer.reasons}


def test_every_reason_of_every_case_has_values() -> None:
    silent = {
        reason["code"]
        for case in decision_cases()
        for reason in ENGINE.ask(case.document)["context"]["reasons"]
        if not reason.get("values")
    }

    lacking = {code for code in silent if not code.startswith("contract.")} - NOTHING_TO_COMPARE
    assert not lacking, f"give these `values` (docs/reference/policy-contract.md): {lacking}"


def test_an_amount_is_told_with_its_limit() -> None:
    found = reasons(
        {
            "action": {"properties": {"effect": "send", "impact": "medium"}},
            "resource": {"properties": {"targets": [EUR]}},
        }
    )

    limit = cases_bundle().data["wardline"]["tables"]["budgets"]["amounts"]["EUR"]["maximum"]
    assert found["budgets.amount_above_maximum"].values == {
        "argument": "amount",
        "currency": "EUR",
        "amount": 200_000_000,
        "limit": limit,
    }


def test_a_path_is_told_with_what_it_may_lie_in() -> None:
    target = {
        "kind": "path", "argument": "path", "access": "read", "path": "/etc/hosts",
        "resolved": "/private/hosts", "inside_workspace": False, "relative": None,
        "hidden": False, "links": 1,
    }  # fmt: skip
    found = reasons({"resource": {"properties": {"targets": [target]}}})

    values = found["filesystem.outside"].values
    assert (values["path"], values["resolved"]) == ("/etc/hosts", "/private/hosts")
    assert base_document()["context"]["environment"]["workspace"] in values["inside"]  # type: ignore[operator]


def test_an_untrusted_argument_is_told_by_where_it_came_from_and_not_by_its_value() -> None:
    leaf = {
        "origin": "tool", "source": "read_mail", "trusted": False, "control": True,
        "from": {"call": "call-1", "entry": 41, "pointer": "/body", "cut": [3, 9]},
        "linked": False, "carries": [],
    }  # fmt: skip
    found = reasons(
        {
            "action": {"properties": {"effect": "send", "impact": "medium"}},
            "resource": {"properties": {"control": ["to"], "args": {"to": "SECRET-TEXT"}}},
            "context": {"provenance": {"/to": leaf}, "labels": ["untrusted"]},
        }
    )

    said = found["provenance.untrusted_control"]
    assert said.values == {
        "argument": "to",
        "origins": ["tool"],
        "sources": ["read_mail"],
        "entries": [41],
    }
    assert "SECRET-TEXT" not in said.model_dump_json()


def test_of_one_code_eight_are_told_and_the_agent_is_told_once() -> None:
    targets = [
        {
            "kind": "path", "argument": "paths", "access": "read", "path": f"/etc/{number:03d}",
            "resolved": f"/etc/{number:03d}", "inside_workspace": False, "relative": None,
            "hidden": False, "links": 1,
        }
        for number in range(100)
    ]  # fmt: skip
    patch = {"resource": {"properties": {"targets": targets}}}
    answer = Decision.from_response(ENGINE.ask(merged(base_document(), patch)))

    outside = [each for each in answer.reasons if each.code == "filesystem.outside"]
    assert [each.values["path"] for each in outside] == [f"/etc/{n:03d}" for n in range(8)]
    denial = Denial("call-1", "read", "denied", answer.reasons)
    told = [each["code"] for each in denial.for_agent()["reasons"]]
    assert told == sorted(set(told))
    assert "/etc/" not in str(denial.for_agent()) + str(denial)


@pytest.mark.parametrize(
    "values",
    [{"amount": 1.5}, {"amount": {"minor": 1}}, {"An amount": 1}, {"x": [["y"]]}, [1]],
    ids=["float", "object", "name", "list-of-lists", "list"],
)
def test_values_of_another_form_are_no_answer(values: object) -> None:
    said = {"code": "a.b", "agent": "a", "operator": "", "nearest": None, "values": values}
    with pytest.raises(ValueError, match="values"):
        Reason.model_validate(said)
