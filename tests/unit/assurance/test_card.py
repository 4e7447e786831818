"""The system card: nothing that was not measured looks good, and all of it is text."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from permissions.assurance.card import card
from permissions.assurance.card_changes import changes
from permissions.assurance.card_text import card_blocks
from permissions.assurance.limits import known_limits, limits_in
from permissions.export.blocks import html, markdown
from permissions.gathered import Finding, measured, not_measured
from permissions.pdp.bundle import PolicyBundle
from permissions.setup.config import BrokerConfig
from permissions.tools.decorator import guard_of
from wardline import AmountArg, RecipientArg, tool

if TYPE_CHECKING:
    from permissions.gathered import PartResult

ROOT = Path(__file__).parents[3]
HOSTILE = "<script>alert(1)</script> | \x1b[2J `x` \u202e"
REGO = """package wardline.policies.payments

deny contains {"code": "payments.too_much", "agent": "No."} if input.amount > 5

require_approval contains _ask("payments.person", "Ask.") if input.amount > 1

_ask(code, agent) := {"code": code, "agent": agent}
"""
POLICIES = PolicyBundle.of({"payments/payments.rego": REGO}, {"wardline": {"tables": {}}})


@tool(effect="send", impact="high")
def pay(
    to: Annotated[str, RecipientArg("account")],
    amount: Annotated[str, AmountArg("EUR")],
    why: str,
) -> None:
    """Pays."""


def made(results: dict[str, PartResult] | None = None, **other: Any) -> Any:
    given: dict[str, Any] = {
        "made": "2026-11-30T12:00:00Z",
        "build": {"wardline": "0.1.0"},
        "settings": BrokerConfig(approvers={"olga": {"groups": ("security",)}}),
        "policies": POLICIES,
        "tools": [guard_of(pay).definition],
        "recorded": None,
        "limits": known_limits(),
        **other,
    }
    return card(results=results or {}, **given)


def evaluation(reached: float) -> PartResult:
    figures = {
        "variant": "V5",
        "plan": "none",
        "suite": "bank",
        "attacks": {"share": reached, "wilson": [0.0, 0.01], "pairs": 686},
        "honest": {"quiet": {"share": 0.9, "wilson": [0.8, 0.95]}},
        "rates": {"violations": None},
    }
    return measured(
        "evaluation", "1 of 1 thresholds hold", {"figures": [figures]}, at=1,
        policies=str(POLICIES.revision),
    )  # fmt: skip


def test_what_was_not_measured_says_so_and_nothing_else() -> None:
    said = made({"probe": not_measured("probe", "no backend works here", at=1)}, tools=None)

    silent = ("tools", "evaluation", "record", "what_if", "recorded", "drills", "risks", "gate",
              "exemptions", "changes", "isolation")  # fmt: skip
    assert [name for name in silent if set(said[name]) != {"not_measured"}] == []
    assert said["isolation"] == {"not_measured": "no backend works here"}
    assert (
        markdown(card_blocks(said)).count("Not measured") == len(silent) + 2
    )  # tests, differences


def test_tools_policies_and_approvers_are_those_in_force() -> None:
    said = made()

    (found,) = said["tools"]["list"]
    assert found["marks"] == {"amount": "amount", "to": "recipient"}
    assert found["unmarked"] == ["why"]
    assert said["policies"]["packages"] == {
        "payments": {"denies": ["payments.too_much"], "asks": ["payments.person"]}
    }
    assert said["policies"]["revision"] == POLICIES.revision
    assert said["approvals"]["approvers"] == [
        {"name": "olga", "groups": ["security"], "file_key": False}
    ]


def test_figures_have_their_intervals_and_the_date() -> None:
    said = made({"evaluation": evaluation(0.003)})

    figures = {each["figure"]: each for each in said["evaluation"]["figures"]}
    assert figures.keys() == {"attacks", "honest/quiet"}
    assert figures["attacks"]["wilson"] == [0.0, 0.01]
    text = markdown(card_blocks(said))
    assert "| V5 | none | bank | attacks | 0.30% | 0.00% to 1.00% |" in text
    assert "Measured 1970-01-01 00:00 UTC under these policies" in text


def test_a_case_that_does_not_apply_is_not_open() -> None:
    states = {"oci": "blocked", "docker": "open", "bubblewrap": "not_applicable"}
    row = {name: {"status": status, "promised": True} for name, status in states.items()}
    probe = measured("probe", "one open", {"columns": [*states], "rows": {"9": row}}, at=1)

    assert made({"probe": probe})["isolation"]["open"] == ["case 9 on docker"]


def test_a_measurement_of_other_policies_says_so() -> None:
    stale = measured("trace", "whole", {}, at=1, policies="sha256:0")

    said = made({"trace": stale})

    assert said["record"]["same_policies"] is False
    assert "under other policies than those in force" in markdown(card_blocks(said))


def test_exemptions_risks_and_drills_are_on_it() -> None:
    exempted = {"code": "probe.open", "finding": "0" * 12, "text": "case 7", "by": "olga",
                "reason": "until the kernel is replaced", "until": "2026-12-31"}  # fmt: skip
    gate = measured(
        "gate", "the release gate holds", {"parts": [
            {"part": "probe", "holds": True, "sentence": "one open", "exempted": [exempted]}
        ]}, at=1,
    )  # fmt: skip
    risk = {"id": "theft", "title": "A key is stolen", "severity": "high", "likelihood": "rare",
            "owner": "olga", "due": "2027-01-01", "status": "mitigated", "residual": "an hour"}  # fmt: skip
    drill = measured(
        "drill-flood", "An agent floods", {"seconds": {"detect": 1.5}, "worked": False}, at=1,
        findings=(Finding(code="drill.late", text="late"),),
    )  # fmt: skip

    said = made(
        {"gate": gate, "register": measured("register", "1 risk", {"risks": [risk]}, at=1),
         "drill-flood": drill}
    )  # fmt: skip

    assert said["exemptions"]["in_force"] == [exempted]
    text = markdown(card_blocks(said))
    assert (
        "| probe.open | case 7 | until the kernel is replaced | olga | 2026\\-12\\-31 |".replace(
            "\\-", "-"
        )
        in text
    )
    assert (
        "| theft | A key is stolen | high | rare | olga | 2027-01-01 | mitigated | an hour |"
        in text
    )
    assert "| flood | failed | detect 1.5 s | 1970-01-01 00:00 UTC |" in text


def test_changes_since_the_last_card_are_told() -> None:
    before = made({"evaluation": evaluation(0.003)})
    other = PolicyBundle.of(
        {"payments/payments.rego": REGO.replace("too_much", "far_too_much")}
    )

    said = made({"evaluation": evaluation(0.02)}, since=before, policies=other, tools=[])

    told = said["changes"]["what"]
    assert "tool pay: gone" in told
    assert f"policies: revision {POLICIES.revision}, now {other.revision}" in told
    assert "policy package payments: changed" in told
    assert (
        "figure V5/none/bank/attacks: 0.30% (0.00% to 1.00%), now 2.00% (0.00% to 1.00%)"
        in told
    )
    assert changes(before, copy.deepcopy(before)) == []


@pytest.mark.parametrize("form", ["md", "html"])
def test_hostile_text_stays_text(form: str) -> None:
    finding = Finding(code="trace.altered", text=HOSTILE)
    said = made(
        {"trace": measured("trace", HOSTILE, {}, at=1, findings=(finding,))},
        build={HOSTILE: HOSTILE},
    )

    text = markdown(card_blocks(said)) if form == "md" else html(HOSTILE, card_blocks(said))

    assert not {"\x1b", "\u202e"} & set(text)
    assert "<script" not in text.replace("\\<script", "")


def test_the_limits_are_the_threat_model_s_own_words() -> None:
    """Each part that says what it does not stop is there, with its words."""
    page = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()

    limits = known_limits()

    assert page.count("Does not stop:") == sum(map(len, limits["parts"].values()))
    assert limits["parts"]["The policy"][0].startswith("a policy that allows too much.")
    assert any("Root on the host" in each for each in limits["outside"])
    both = "### A\n\nStops: x. Does not stop: y.\nIn b, stops: z. Stops: w. Does not stop: `u`.\n\nv"
    assert limits_in(both)["parts"] == {"A": ["y. In b, stops: z.", "u."]}
    assert limits_in("### A\n\nStops: x.\n") == {"parts": {}, "outside": []}
