"""Figures of what was gathered: what was not measured, or is of other policies, does not count."""

from __future__ import annotations

from typing import Any

from permissions.gathered import Finding, PartResult, measured, not_measured
from permissions.inquiry.assured import Assured, assured

NOW, BEFORE = "sha256:now", "sha256:before"


def part(
    name: str, evidence: dict[str, Any], *, policies: str = NOW, red: bool = False
) -> PartResult:
    findings = (Finding(code=f"{name}.red", text="red"),) if red else ()
    return measured(name, "said", evidence, at=1, findings=findings, policies=policies)


def test_nothing_gathered_is_nothing_known() -> None:
    assert assured({}, revision=NOW) == Assured()


def test_drills_say_how_fast_and_whether_they_worked() -> None:
    found = assured(
        {
            "drill-flood": part("drill-flood", {"seconds": {"detect": 2, "stop": 1}}),
            "drill-stolen-key": part(
                "drill-stolen-key", {"seconds": {"detect": 0, "stop": 0}, "prevented": True}
            ),
            "drill-cut-log": part("drill-cut-log", {"seconds": {"detect": 3}}, red=True),
        },
        revision=NOW,
    )

    assert found.detect == {"flood": 2.0, "cut-log": 3.0}
    assert found.mitigate == {"flood": 1.0}
    assert found.worked == {"flood": True, "stolen-key": True, "cut-log": False}


def test_evidence_counts_under_the_policies_in_force_alone() -> None:
    """Of four parts one is of other policies, one was not measured and one is gone."""
    names = ("probe", "trace", "what-if", "register")
    results = {
        "gate": part("gate", {"parts": [{"part": name} for name in names]}),
        "probe": part("probe", {}, red=True),
        "trace": part("trace", {}, policies=BEFORE),
        "what-if": not_measured("what-if", "nothing recorded", at=1),
    }

    assert assured(results, revision=NOW).completeness == 0.25
    assert assured(results, revision=BEFORE).completeness == 0.25
    assert assured(results, revision="sha256:other").completeness == 0.0


def test_the_worst_variant_counts_and_the_one_without_policies_does_not() -> None:
    figures = [
        {
            "variant": variant,
            "rates": {"false_positives": None if share is None else {"share": share}},
        }
        for variant, share in (("V0", 0.9), ("V4", 0.02), ("V5", 0.05), ("V6", None))
    ]

    found = assured({"evaluation": part("evaluation", {"figures": figures})}, revision=NOW)

    assert found.false_positives == 0.05


def test_open_risks_are_not_closed() -> None:
    risks = [{"status": each} for each in ("open", "mitigated", "accepted", "closed")]

    assert (
        assured({"register": part("register", {"risks": risks})}, revision=NOW).closure == 0.75
    )
