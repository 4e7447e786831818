"""Each gap of a register is found, in a sentence that says which; a whole register has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from permissions.assurance.checking import judge_register
from permissions.assurance.known import Known, KnownTool
from permissions.assurance.register import parse_register
from permissions.gathered import Finding, PartResult, measured, not_measured

NOON = 1_800_000_000_000_000
TODAY = date(2027, 1, 15)
REVISION = "sha256:" + "a" * 64
WHOLE = """
form = 1

[[risk]]
id = "paid-wrongly"
title = "Somebody else is paid"
severity = "critical"
likelihood = "likely"
owner = "olga"
due = 2027-03-31
status = "mitigated"
covers = { effects = ["send"], marks = ["recipient"], isolation = ["none"] }
mitigations.policies = ["messaging", "messaging/messaging.unlisted_recipient"]
mitigations.probes = [1]
mitigations.profiles = ["reports"]
mitigations.plans = ["pay.json"]
mitigations.evaluations = ["V5/attacks/share"]
mitigations.alerts = ["ApprovalsWait"]
mitigations.drills = ["flood"]
"""
PAY = KnownTool("pay", "send", "none", frozenset({"recipient"}), "reports")


def result(
    part: str, evidence: dict[str, Any], *findings: str, policies: str | None = REVISION
) -> PartResult:
    found = tuple(Finding(code=f"{part}.wrong", text=text) for text in findings)
    return measured(part, "measured", evidence, at=NOON, findings=found, policies=policies)


TESTED = {
    "rules": {"messaging/deny": True, "messaging/messaging.unlisted_recipient": True},
    "failed": [],
}
PROBED = {"rows": {"1": {"oci": {"status": "blocked", "promised": True}}}}
GATE = {"variant": "V5", "figure": "attacks/share", "plan": "none", "found": 0.0, "holds": True}
RESULTS = {
    "policy-tests": result("policy-tests", TESTED),
    "probe": result("probe", PROBED),
    "evaluation": result("evaluation", {"gates": [GATE]}),
    "drill-flood": result("drill-flood", {}, policies=None),
}
KNOWN = Known(
    revision=REVISION,
    rules=frozenset({"messaging/deny", "messaging/messaging.unlisted_recipient"}),
    idle=frozenset({"layers.sql"}),
    tools=(PAY,),
    profiles=frozenset({"reports"}),
    probes=frozenset({1, 2}),
    alerts=frozenset({"ApprovalsWait", "Down"}),
    tested_alerts=frozenset({"ApprovalsWait"}),
    plans={"pay.json": "", "old.json": "has a step for another version of pay"},
    results=RESULTS,
)


def found(text: str = WHOLE, known: Known = KNOWN) -> list[tuple[str, str]]:
    judged = judge_register(
        parse_register(text), text, "risks.toml", known, today=TODAY, basis="b", at=NOON
    )
    assert (judged.outcome == "passed") == (not judged.findings)
    return [(each.code, each.text) for each in judged.findings]


def with_result(part: str, new: PartResult | None) -> Known:
    results = {name: each for name, each in RESULTS.items() if name != part}
    return replace(KNOWN, results=results if new is None else {**results, part: new})


def test_a_whole_register_holds() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        ('owner = "olga"\n', "", "register.no_owner", "risk paid-wrongly has no owner"),
        ('"olga"', '" "', "register.no_owner", "risk paid-wrongly has no owner"),
        ("due = 2027-03-31\n", "", "register.no_date", "says no day"),
        ("2027-03-31", "2027-01-14", "register.past_due", "was due on 2027-01-14; it is olga's"),
        ('["messaging", ', '["mesaging", ', "register.missing", "the policy mesaging is no package"),
        (
            "messaging/messaging.unlisted_recipient",
            "messaging/messaging.gone",
            "register.missing",
            "is no rule or reason code of the package messaging",
        ),
        ('["messaging", ', '["layers.sql", ', "register.not_loaded", "decides nothing"),
        ("[1]", "[77]", "register.missing", "the probe 77 is no case"),
        ("[1]", "[2]", "register.untested", "the probe 2 was not among the cases"),
        ('["reports"]', '["other"]', "register.missing", "other is no sandbox profile"),
        ('["reports"]', '["default"]', "register.not_loaded", "profile of no registered tool"),
        ("pay.json", "gone.json", "register.missing", "the plan gone.json is no file"),
        ("pay.json", "old.json", "register.missing", "another version of pay"),
        ("V5/attacks/share", "V5/attacks/gone", "register.missing", "no figure that the thresholds"),
        ("ApprovalsWait", "Gone", "register.missing", "the alert Gone is no alert"),
        ("ApprovalsWait", "Down", "register.untested", "the alert Down has no test"),
        ("flood", "other", "register.unmeasured", "wardline drill other"),
        ('["send"]', '["write"]', "register.uncovered", "pay is covered by no risk for its effect send"),
        ('["recipient"]', "[]", "register.uncovered", "for its mark recipient"),
        ('["none"]', '["process"]', "register.uncovered", "for its isolation none"),
        ("covers = {", 'covers = { tools = ["gone"],', "register.no_tool", "the tool gone"),
        ('"mitigated"', '"accepted"', "register.no_residual", "does not say what is left"),
        ('"mitigated"', '"closed"', "register.empty", "the register names no risk"),
    ],
)  # fmt: skip
def test_a_gap_is_said(before: str, after: str, code: str, said: str) -> None:
    assert before in WHOLE

    gaps = found(WHOLE.replace(before, after))

    assert [text for each, text in gaps if each == code and said in text], gaps


@pytest.mark.parametrize(
    ("part", "new", "code", "said"),
    [
        ("policy-tests", None, "register.unmeasured", "policy-tests was never measured"),
        (
            "policy-tests",
            not_measured("policy-tests", "no", at=NOON),
            "register.unmeasured",
            "2 mitigation(s) of paid-wrongly rest on it",
        ),
        (
            "policy-tests",
            result("policy-tests", TESTED, policies="sha256:" + "b" * 64),
            "register.outdated",
            "under other policies than those in force",
        ),
        (
            "policy-tests",
            result("policy-tests", {**TESTED, "rules": {"messaging/deny": True}}),
            "register.untested",
            "messaging/messaging.unlisted_recipient has no test",
        ),
        (
            "policy-tests",
            result(
                "policy-tests",
                {**TESTED, "failed": [{"test": "test_a", "package": "messaging"}]},
                "red",
            ),
            "register.failed",
            "failed in its last run: test_a",
        ),
        (
            "probe",
            result(
                "probe",
                {"rows": {"1": {"oci": {"status": "open", "promised": True}}}},
                "red",
            ),
            "register.failed",
            "the probe 1 failed in its last run: open on oci",
        ),
        (
            "evaluation",
            result("evaluation", {"gates": [{**GATE, "found": 0.5, "holds": False}]}, "red"),
            "register.failed",
            "V5/attacks/share failed in its last run: 0.5, plan none",
        ),
        (
            "drill-flood",
            result("drill-flood", {}, "red", policies=None),
            "register.failed",
            "the drill flood failed",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_mitigation_that_does_not_hold_is_said(
    part: str, new: PartResult | None, code: str, said: str
) -> None:
    gaps = found(known=with_result(part, new))

    assert [text for each, text in gaps if each == code and said in text], gaps


def test_a_probe_that_is_not_promised_is_no_failure() -> None:
    rows = {"rows": {"1": {"oci": {"status": "open", "promised": False}}}}

    assert found(known=with_result("probe", result("probe", rows))) == []


def test_a_mitigated_risk_names_what_mitigates_it() -> None:
    bare = "\n".join(line for line in WHOLE.splitlines() if "mitigations." not in line)

    assert [code for code, _ in found(bare)] == ["register.no_mitigation"]


def test_a_tool_that_a_risk_names_is_covered_whole() -> None:
    text = WHOLE.replace('{ effects = ["send"]', '{ tools = ["pay"], effects = ["read"]')

    assert found(text) == []


def test_a_closed_risk_covers_nothing() -> None:
    text = WHOLE + WHOLE.replace("form = 1", "").replace("paid-wrongly", "other")
    closed = text.replace('"mitigated"', '"closed"', 1).replace('["send"]', '["read"]')

    assert "register.uncovered" in {code for code, _ in found(closed)}


def test_without_tools_nobody_knows_what_is_covered() -> None:
    assert [code for code, _ in found(known=replace(KNOWN, tools=None))] == [
        "register.no_tools"
    ]


def test_a_finding_stands_at_its_risk() -> None:
    text = WHOLE.replace('owner = "olga"\n', "")
    judged = judge_register(
        parse_register(text), text, "risks.toml", KNOWN, today=TODAY, basis="b", at=NOON
    )

    (finding,) = judged.findings
    assert (finding.file, text.splitlines()[finding.line - 1]) == (
        "risks.toml",
        'id = "paid-wrongly"',
    )
