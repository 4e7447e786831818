"""Recorded decisions, decided again: byte-equal under their bundle, a matrix under another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from logs import CONFIG, KEK, NAME, SIGNER, run_start

from permissions.cli.trace_text import replay_text
from permissions.errors import (
    PdpAnswerError,
    PdpError,
    PdpInputError,
    PdpTimeoutError,
    PdpUnavailableError,
    PdpUndefinedError,
)
from permissions.model import Decision, Digest
from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.replay.again import replay
from permissions.replay.recorded import recorded_decisions
from permissions.replay.rows import Summary
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.replay.recorded import RecordedDecision
    from permissions.replay.rows import Row

MAIN = """
package wardline.main

import rego.v1

default response := {
    "decision": false,
    "context": {
        "reasons": [{"code": "t.too_much", "agent": "Too much.", "operator": "", "nearest": null}],
        "obligations": [],
        "access_request": null,
        "rules": [],
    },
}

response := {
    "decision": true,
    "context": {"reasons": [], "obligations": [], "access_request": null, "rules": ["t.small"]},
} if {
    input.resource.properties.args.amount <= %d
}

response := {
    "decision": false,
    "context": {
        "reasons": [{"code": "t.ask", "agent": "Ask.", "operator": "", "nearest": null}],
        "obligations": [],
        "access_request": {
            "approvers": ["a"],
            "quorum": 1,
            "expires_in_seconds": 60,
            "separation_of_duties": true,
        },
        "rules": [],
    },
} if {
    input.resource.properties.args.amount > %d
    input.resource.properties.args.amount <= %d
}
"""


SANDBOX = '{"id": "s", "type": "sandbox", "properties": {"isolation": "container"}},'
BOUND = """
package wardline.main

import rego.v1

response := {
    "decision": true,
    "context": {"reasons": [], "access_request": null, "rules": [], "obligations": [
        {"id": "s", "type": "sandbox", "properties": {"isolation": "container"}},
        {"id": "e", "type": "evidence", "properties": {"level": "durable"}},
        {"id": "r", "type": "redact", "properties": {"fields": ["/iban", "/name"]}},
        {"id": "b", "type": "budget", "properties": {"name": "pay", "amount": 5}},
        {"id": "d", "type": "deadline", "properties": {"seconds": 9}},
        {"id": "l", "type": "label", "properties": {"add": ["money"]}},
    ]},
} if {
    input.resource.properties.args.amount <= 10
}

response := {
    "decision": false,
    "context": {
        "reasons": [{"code": "t.ask", "agent": "Ask.", "operator": "", "nearest": null}],
        "obligations": [],
        "access_request": {
            "approvers": ["a", "b"],
            "quorum": 2, "expires_in_seconds": 60,
            "separation_of_duties": true,
        },
        "rules": [],
    },
} if {
    input.resource.properties.args.amount > 10
}
"""


def bundle(allow: int, ask: int) -> PolicyBundle:
    """Allows up to one amount, asks up to another, denies above."""
    return PolicyBundle.of({"main.rego": MAIN % (allow, allow, ask)})


def decision(number: int, decided: Decision, document: JsonObject, revision: str) -> TraceEntry:
    asked = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    answered = orjson.dumps(decided.response, option=orjson.OPT_SORT_KEYS)
    return TraceEntry(
        "decision",
        f"run-{number % 2}",
        f"call-{number}",
        {
            "revision": revision,
            "engine": "test",
            "permitted": decided.permitted,
            "requestable": decided.access_request is not None,
            "reasons": [each.code for each in decided.reasons],
        },
        {"input": asked, "response": answered},
    )


RECORDED = bundle(allow=10, ask=20)
AMOUNTS = [5, 8, 15, 18, 25, 30]


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """Six decisions, two of each kind, in two runs."""
    async with EmbeddedPdp(RECORDED, hard_deadline=5, spare=0) as pdp:
        await write(tmp_path, pdp, AMOUNTS)
    return tmp_path


async def write(directory: Path, pdp: EmbeddedPdp, amounts: list[int]) -> None:
    """Records a decision about each amount."""
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        for run in ("run-0", "run-1"):
            await log.append([run_start(run)], barrier="buffered")
        for number, amount in enumerate(amounts):
            document = {"resource": {"properties": {"args": {"amount": amount}}}}
            decided = await pdp.evaluate(document)
            intent = TraceEntry(
                "intent", f"run-{number % 2}", f"call-{number}", {"tool": "pay"}
            )
            entry = decision(number, decided, document, pdp.revision)
            await log.append([intent, entry], barrier="durable")


async def rows_of(
    directory: Path, under: Callable[[RecordedDecision], Any], vault: VaultReader | None = None
) -> list[Row]:
    reader = vault or VaultReader(directory, KEK)
    decisions = recorded_decisions(read_entries(directory), reader)
    return [row async for row in replay(decisions, under=under)]


def summed(rows: list[Row]) -> Summary:
    summary = Summary()
    for row in rows:
        summary.add(row)
    return summary


async def test_the_recorded_bundle_gives_the_same_bytes(directory: Path):
    async with EmbeddedPdp(RECORDED, hard_deadline=5, spare=0) as pdp:
        rows = await rows_of(
            directory, lambda each: {RECORDED.revision: pdp}.get(each.revision)
        )

    assert [row.before for row in rows] == ["allow", "allow", "ask", "ask", "deny", "deny"]
    assert all(row.identical and not row.is_changed for row in rows)
    assert {row.tool for row in rows} == {"pay"}
    assert not summed(rows).differs()


async def test_a_looser_policy_shows_what_it_would_let_through(directory: Path):
    loose = bundle(allow=18, ask=25)
    async with EmbeddedPdp(loose, hard_deadline=5, spare=0) as pdp:
        rows = await rows_of(directory, lambda _: pdp)

    summary = summed(rows)
    assert [row.after for row in rows] == ["allow", "allow", "allow", "allow", "ask", "deny"]
    assert dict(summary.matrix) == {
        ("allow", "allow"): 2,
        ("ask", "allow"): 2,
        ("deny", "ask"): 1,
        ("deny", "deny"): 1,
    }
    assert (summary.changed, summary.newly_allowed) == (3, 2)
    by_tool = {name[1:]: count for name, count in summary.by.items() if name[0] == "tool"}
    assert by_tool == {("pay", *each): count for each, count in summary.matrix.items()}
    assert Summary.of(summary.document()) == summary
    assert dict(summary.changed_by_run) == {"run-0": 2, "run-1": 1}
    assert rows[2].reasons_before == ("t.ask",)
    assert summary.fails("newly_allowed")


async def test_after_its_first_change_the_rest_of_a_run_is_conditional(directory: Path):
    loose = bundle(allow=18, ask=25)
    async with EmbeddedPdp(loose, hard_deadline=5, spare=0) as pdp:
        rows = await rows_of(directory, lambda _: pdp)

    assert [row.conditional for row in rows] == [False, False, False, False, True, True]


async def test_a_stricter_policy_fails_only_on_changed(directory: Path):
    strict = bundle(allow=1, ask=2)
    async with EmbeddedPdp(strict, hard_deadline=5, spare=0) as pdp:
        summary = summed(await rows_of(directory, lambda _: pdp))

    assert summary.matrix["allow", "deny"] == 2
    assert not summary.fails("newly_allowed")
    assert summary.fails("changed")


async def test_another_answer_with_the_same_verdict_is_a_mismatch(directory: Path):
    reworded = PolicyBundle.of({"main.rego": (MAIN % (10, 10, 20)).replace("Ask.", "Ask!")})
    async with EmbeddedPdp(reworded, hard_deadline=5, spare=0) as pdp:
        rows = await rows_of(directory, lambda _: pdp)

    assert [row.identical for row in rows] == [True, True, False, False, True, True]
    assert not any(row.is_changed for row in rows)
    assert summed(rows).differs()


@dataclass(frozen=True)
class TermsCase:
    id: str
    found: str
    instead: str
    terms: str
    changed: tuple[str, ...]


TERMS = [
    TermsCase("fewer people", '"quorum": 2', '"quorum": 1', "weaker", ("quorum",)),
    TermsCase("more people", '"quorum": 2', '"quorum": 3', "other", ("quorum",)),
    TermsCase(
        "own requests",
        '"separation_of_duties": true',
        '"separation_of_duties": false',
        "weaker",
        ("separation_of_duties",),
    ),
    TermsCase("another group", '["a", "b"]', '["a", "c"]', "weaker", ("approvers",)),
    TermsCase("a group less", '["a", "b"]', '["b"]', "other", ("approvers",)),
    TermsCase("more time", "60", "90", "other", ("expires_in_seconds",)),
    TermsCase(
        "one less, one more",
        '"quorum": 2, "expires_in_seconds": 60',
        '"quorum": 1, "expires_in_seconds": 30',
        "weaker",
        ("expires_in_seconds", "quorum"),
    ),
    TermsCase("no sandbox", SANDBOX, "", "weaker", ("sandbox",)),
    TermsCase("thinner sandbox", '"container"', '"process"', "weaker", ("sandbox",)),
    TermsCase("thicker sandbox", '"container"', '"kernel"', "other", ("sandbox",)),
    TermsCase("buffered", '"durable"', '"buffered"', "weaker", ("evidence",)),
    TermsCase("less hidden", '["/iban", "/name"]', '["/iban"]', "weaker", ("redact",)),
    TermsCase(
        "more hidden", '["/iban", "/name"]', '["", "/iban", "/name"]', "other", ("redact",)
    ),
    TermsCase("smaller budget", '"amount": 5', '"amount": 4', "weaker", ("budget",)),
    TermsCase("longer", '"seconds": 9', '"seconds": 10', "weaker", ("deadline",)),
    TermsCase("no label", '["money"]', '["other"]', "weaker", ("label",)),
    TermsCase(
        "unknown obligation", '"type": "label"', '"type": "tag"', "other", ("obligations",)
    ),
]


@pytest.mark.parametrize("case", TERMS, ids=lambda case: case.id)
async def test_other_terms_under_the_same_verdict_are_a_change(case: TermsCase, tmp_path: Path):
    """And weaker ones are marked, so that CI can stop."""
    assert case.found in BOUND
    async with EmbeddedPdp(
        PolicyBundle.of({"main.rego": BOUND}), hard_deadline=5, spare=0
    ) as pdp:
        await write(tmp_path, pdp, [5, 15])
    other = PolicyBundle.of({"main.rego": BOUND.replace(case.found, case.instead)})
    async with EmbeddedPdp(other, hard_deadline=5, spare=0) as pdp:
        rows = await rows_of(tmp_path, lambda _: pdp)

    [changed] = [row for row in rows if row.is_changed]
    assert (changed.before, changed.after) in {("allow", "allow"), ("ask", "ask")}
    assert (changed.terms, changed.terms_changed) == (case.terms, case.changed)
    summary = summed(rows)
    assert summary.fails("changed")
    assert summary.weaker == (case.terms == "weaker")
    asked_less = changed.before == "ask" and case.terms == "weaker"
    assert summary.fails("newly_allowed") is asked_less


async def test_an_id_or_a_reason_is_no_term(tmp_path: Path):
    """They bind nobody, so nothing changed, though the answer is not byte-equal."""
    async with EmbeddedPdp(
        PolicyBundle.of({"main.rego": BOUND}), hard_deadline=5, spare=0
    ) as pdp:
        await write(tmp_path, pdp, [5, 15])
    reworded = BOUND.replace('"id": "s"', '"id": "t"').replace("Ask.", "Ask!")
    async with EmbeddedPdp(
        PolicyBundle.of({"main.rego": reworded}), hard_deadline=5, spare=0
    ) as pdp:
        rows = await rows_of(tmp_path, lambda _: pdp)

    assert not any(row.identical or row.is_changed for row in rows)


async def test_what_cannot_be_replayed_says_why(directory: Path):
    without_bundle = await rows_of(directory, lambda _: None)
    decisions = recorded_decisions(read_entries(directory), None)
    without_key = [row async for row in replay(decisions, under=lambda _: None)]

    assert all("is not in the state folder" in (row.problem or "") for row in without_bundle)
    assert all("vault's key" in (row.problem or "") for row in without_key)
    assert summed(without_bundle).unreplayable == len(AMOUNTS)
    assert summed(without_bundle).fails("newly_allowed"), "nothing replayed proves nothing"


class Scripted:
    """A decision point that fails in one way."""

    revision = Digest("sha256:0")
    engine = "scripted"

    def __init__(self, err: PdpError) -> None:
        self._err = err

    async def evaluate_all(self, documents: list[JsonObject]) -> list[PdpError]:
        return [self._err for _ in documents]


@dataclass(frozen=True)
class Case:
    id: str
    err: PdpError
    after: str | None
    reasons: tuple[str, ...]


CASES = [
    Case("undefined", PdpUndefinedError(""), "deny", ("policy.undefined",)),
    Case("malformed", PdpAnswerError(""), "deny", ("policy.answer_invalid",)),
    Case("input refused", PdpInputError(""), "deny", ("arguments.unrepresentable",)),
    Case("late", PdpTimeoutError("late"), None, ()),
    Case("down", PdpUnavailableError("down"), None, ()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_no_clear_answer_is_a_denial_and_no_answer_is_none(directory: Path, case: Case):
    rows = await rows_of(directory, lambda _: Scripted(case.err))

    assert {row.after for row in rows} == {case.after}
    assert {row.reasons_after for row in rows} == {case.reasons}
    assert all(bool(row.problem) == (case.after is None) for row in rows)


@pytest.mark.parametrize(
    ("rule", "after", "told"),
    [
        ("contract.context", "deny", 1),
        ("payments.limit", "deny", 0),
        ("contract.context", "allow", 0),
    ],
)
def test_inputs_of_another_contract_are_told_as_such(rule: str, after: str, told: int):
    summary = Summary(decisions=1)
    summary.by["rule", rule, "allow", after] = 1

    text = replay_text(summary, [], what_if=True)

    assert text.count("under another version of the policy contract") == told
    assert "contract" not in replay_text(summary, [], what_if=False)
