"""The gate holds when every part does, and nothing that was not measured, or long ago, is passed."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from permissions.assurance import reports
from permissions.assurance.exemption import Exemption
from permissions.assurance.terms import PARTS
from permissions.assurance.verdict import GateVerdict, gate_result, judge_gate
from permissions.gathered import Finding, PartResult, measured, not_measured

NOON = 1_800_000_000_000_000
HOUR = 3_600_000_000
REVISION = "sha256:" + "a" * 64
OPEN = Finding(code="probe.open", text="case 3 | on <oci>\x1b is open", file="a b.toml", line=7)
SCHEMA = json.loads(
    (Path(__file__).parents[2] / "vectors/sarif/sarif-schema-2.1.0.json").read_text()
)


def result(part: str, *findings: Finding, at: int = NOON, **more: Any) -> PartResult:
    policies = more.pop("policies", REVISION)
    evidence = {"basis": f"basis of {part}", **more}
    return measured(part, "was measured", evidence, at=at, findings=findings, policies=policies)


RESULTS = {part: result(part) for part in PARTS}


def exemption(finding: Finding) -> Exemption:
    return Exemption(
        finding=finding.id,
        code=finding.code,
        text=finding.text,
        reason="SEC-7",
        by="olga",
        until=date(2027, 2, 1),
        time=NOON,
    )


def judged(
    *others: PartResult,
    without: str = "",
    new: tuple[str, ...] = PARTS,
    exemptions: tuple[Exemption, ...] = (),
    now: int = NOON,
) -> GateVerdict:
    results = {**RESULTS, **{each.part: each for each in others}}
    results.pop(without, None)
    return judge_gate(
        results,
        new=new,
        basis={part: f"basis of {part}" for part in PARTS},
        exemptions=exemptions,
        refused=["line 3: it ended"],
        revision=REVISION,
        kept_hours=24,
        now=now,
    )


def said(verdict: GateVerdict) -> list[str]:
    return [finding.text for part in verdict.parts for finding in part.left]


def test_it_holds_when_every_part_does() -> None:
    assert judged().holds


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_fails_turns_it_red(part: str) -> None:
    verdict = judged(result(part, OPEN))

    assert not verdict.holds
    assert said(verdict) == [OPEN.text]
    assert f"1 of 8 parts ({part})" in reports.summary(verdict)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_not_measured_turns_it_red(part: str) -> None:
    missing = not_measured(part, "no backend works here", at=NOON)

    assert said(judged(missing)) == ["not measured: no backend works here"]
    assert said(judged(without=part)) == ["not measured: it was not measured"]
    assert said(judged(without=part, new=())) == ["not measured: it was never measured"]


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (result("probe", at=NOON - 24 * HOUR - 1), "older than 24 hours"),
        (result("probe", at=NOON + 1), "from the future"),
        (result("probe", policies="sha256:" + "b" * 64), "of other policies"),
        (result("probe", basis="other"), "of other thresholds, tools or files"),
    ],
    ids=["old", "future", "policies", "thresholds"],
)
def test_a_kept_result_of_something_else_does_not_count(kept: PartResult, why: str) -> None:
    others = tuple(part for part in PARTS if part != "probe")

    assert why in said(judged(kept, new=others))[0]
    assert judged(kept).holds  # measured now, whatever it says of itself


def test_a_kept_result_counts_for_a_day() -> None:
    verdict = judged(result("probe", at=NOON - 24 * HOUR), new=("trace",))

    assert verdict.holds
    assert [part.is_kept for part in verdict.parts].count(True) == len(PARTS) - 1


def test_an_exemption_lets_its_finding_by_and_is_told() -> None:
    verdict = judged(result("probe", OPEN), exemptions=(exemption(OPEN),))

    assert verdict.holds
    for text in (reports.summary(verdict), reports.markdown(verdict)):
        assert "SEC-7" in text
        assert "olga" in text
        assert "2027-02-01" in text
    kept = gate_result(verdict)
    (probe,) = [each for each in kept.evidence["parts"] if each["part"] == "probe"]
    assert probe["exempted"][0]["reason"] == "SEC-7"
    assert kept.outcome == "passed"


def test_an_exemption_for_what_was_not_measured_lets_that_by() -> None:
    (finding,) = [f for part in judged(without="trace").parts for f in part.left]

    assert judged(without="trace", exemptions=(exemption(finding),)).holds


def test_an_exemption_of_nothing_is_told() -> None:
    text = reports.summary(judged(exemptions=(exemption(OPEN),)))

    assert "an exemption of nothing that is there" in text
    assert "an exemption that does not count: line 3: it ended" in text


def test_the_kept_verdict_names_what_was_measured() -> None:
    kept = gate_result(judged(result("probe", OPEN)))

    assert kept.outcome == "failed"
    assert [each.id for each in kept.findings] == [OPEN.id]
    digests = {each["part"]: each["evidence_digest"] for each in kept.evidence["parts"]}
    assert digests["trace"] == RESULTS["trace"].evidence_digest


@pytest.mark.parametrize(
    "verdict",
    [
        judged(),
        judged(result("probe", OPEN), without="trace"),
        judged(result("probe", OPEN), exemptions=(exemption(OPEN),)),
    ],
    ids=["holds", "red", "let-by"],
)
def test_sarif_is_what_the_standard_says(verdict: GateVerdict) -> None:
    log = json.loads(json.dumps(reports.sarif(verdict, "wardline-gate.toml")))

    jsonschema.Draft4Validator(SCHEMA).validate(log)
    results = log["runs"][0]["results"]
    let_by = [each for each in results if each.get("suppressions")]
    assert len(results) - len(let_by) == len(said(verdict))
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[each["ruleIndex"]]["id"] == each["ruleId"] for each in results)


def test_the_schema_refuses_what_is_no_sarif() -> None:
    log = reports.sarif(judged(result("probe", OPEN)), "wardline-gate.toml")
    log["runs"][0]["results"][0].pop("message")

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(SCHEMA).validate(log)


def test_junit_counts_what_ci_counts() -> None:
    other = Finding(code="trace.lacks", text="not anchored")
    verdict = judged(
        result("probe", OPEN), result("trace", other), exemptions=(exemption(other),)
    )

    suites = ET.fromstring(reports.junit(verdict))  # noqa: S314 - our own text

    assert suites.get("failures") == "1"
    assert [each.get("classname") for each in suites.iter("testcase") if each.find("failure") is not None] == ["probe.open"]  # fmt: skip
    assert len(list(suites.iter("skipped"))) == 1
    assert len(list(suites.iter("testsuite"))) == len(PARTS)


def test_json_holds_the_same() -> None:
    document = json.loads(json.dumps(reports.document(judged(result("probe", OPEN)))))

    assert document["holds"] is False
    assert [part["left"][0]["id"] for part in document["parts"] if part["left"]] == [OPEN.id]
