"""Questions to the record of the shipped incident: a real broker wrote it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents_demo.incident import record
from permissions.errors import TraceError
from permissions.inquiry.contents import Contents
from permissions.inquiry.find import ContentFilter
from permissions.inquiry.questions import Inquiry
from permissions.setup.layout import StateLayout
from permissions.trace.call_filter import CallFilter
from permissions.trace.index import TraceIndex
from permissions.trace.vault import VaultReader, load_kek

ATTACKER = "DE75512108001245126199"
PAID = "call-6"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> StateLayout:
    return StateLayout(record(tmp_path_factory.mktemp("incident") / "record"))


@pytest.fixture
def inquiry(layout: StateLayout) -> Inquiry:
    vault = VaultReader(layout.trace, load_kek(layout.kek))
    return Inquiry(TraceIndex(layout.trace, layout.index), Contents(vault))


def names(calls: Any) -> list[str]:
    return [each["call"] for each in calls]


def test_why_names_the_values_the_limit_the_policies_and_who_saw_what(
    inquiry: Inquiry, layout: StateLayout
) -> None:
    found = inquiry.why(PAID)

    asked, permitted = found["decisions"]
    amount = next(r for r in asked["reasons"] if r["code"] == "budgets.amount_needs_person")
    assert amount["values"] == {
        "argument": "amount",
        "currency": "EUR",
        "amount": 98_000,
        "limit": 0,
    }
    assert [asked["verdict"], permitted["verdict"]] == ["ask", "allow"]
    [bundle] = layout.bundles.iterdir()
    assert asked["revision"].removeprefix("sha256:") in bundle.name
    [request] = found["requests"]
    [answer] = request["answers"]
    assert (answer["approver"], answer["verdict"]) == ("olga", "approve")
    assert ATTACKER in request["shown"]["call"]["arguments"]
    assert request["shown"]["reasons"] == asked["reasons"]
    start = inquiry.call(PAID).start
    assert start is not None
    assert (request["used_by"], request["request"]) == (start.index, found["start"]["request"])
    assert found["subject"]["properties"]["on_behalf_of"] == "user:alice"
    assert found["provenance"]["/amount"]["origin"] == "user"


def test_blast_goes_through_texts_files_and_runs_to_the_payment(inquiry: Inquiry) -> None:
    found = inquiry.blast("mail/borealis.eml")

    assert names(found["sources"]) == ["call-1"]
    assert names(found["reached"]) == ["call-2", "call-5", "call-6"]
    note, read, paid = (each["by"][0] for each in found["reached"])
    assert note == {
        "argument": "/text",
        "address": ATTACKER,
        "seen_in": "call-1",
        "distance": 1,
    }
    assert read["file"]["written_by"] == "call-2"
    assert paid["seen_in"] == "call-5"
    assert found["closed"] == 0


@pytest.mark.parametrize("what", ["call-1", "4"], ids=["call", "entry"])
def test_blast_begins_at_a_call_or_an_entry(inquiry: Inquiry, what: str) -> None:
    assert names(inquiry.blast(what)["reached"]) == ["call-2", "call-5", "call-6"]


def test_what_a_trusted_read_gave_is_told_by_its_provenance(inquiry: Inquiry) -> None:
    found = inquiry.blast("call-3")

    [paid] = found["reached"]
    sites = [way["from"] for way in paid["by"] if "from" in way]
    assert [(site["call"], site["pointer"]) for site in sites] == [("call-3", "")]
    assert found["after"] == {"run-tuesday": 2}


def test_a_call_that_did_not_run_hands_nothing_on(inquiry: Inquiry) -> None:
    assert inquiry.blast("call-7")["reached"] == []


@pytest.mark.parametrize("what", ["call-99", "0", "99999", "no/such.file"])
def test_blast_of_nothing_says_so(inquiry: Inquiry, what: str) -> None:
    with pytest.raises(TraceError, match=f"recorded of|entry {what}"):
        inquiry.blast(what)


WANTED = {
    "tool": (CallFilter(tool="pay"), ContentFilter(), ["call-4", "call-6"]),
    "approver": (CallFilter(approver="olga"), ContentFilter(), ["call-6"]),
    "rule": (CallFilter(rule="filesystem.outside"), ContentFilter(), ["call-7"]),
    "outcome": (CallFilter(outcome="denied"), ContentFilter(), ["call-7"]),
    "subject": (CallFilter(subject="user:alice", run="run-monday"), ContentFilter(), ["call-1", "call-2"]),
    "nobody": (CallFilter(subject="user:mallory"), ContentFilter(), []),
    "before": (CallFilter(until=0), ContentFilter(), []),
    "amount": (CallFilter(), ContentFilter(least=Decimal(500)), ["call-6"]),
    "small": (CallFilter(), ContentFilter(most=Decimal("120.00")), ["call-4"]),
    "recipient": (CallFilter(), ContentFilter(recipient="de7551"), ["call-6"]),
    "argument": (CallFilter(), ContentFilter((("text", "BOREALIS"),)), ["call-2"]),
    "any argument": (CallFilter(), ContentFilter((("", ATTACKER),)), ["call-2", "call-6"]),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "inside", "expected"), WANTED.values(), ids=WANTED)
def test_find(
    inquiry: Inquiry, wanted: CallFilter, inside: ContentFilter, expected: list[str]
) -> None:
    assert [each.call for each in inquiry.find(wanted, inside)] == expected
    newest = inquiry.find(wanted, inside, newest_first=True)
    assert [each.call for each in newest] == expected[::-1]


def test_what_cannot_be_opened_is_counted_and_not_taken_for_a_no(layout: StateLayout) -> None:
    closed: list[int] = []
    blind = Inquiry(TraceIndex(layout.trace, None), Contents(None))

    inside = ContentFilter(recipient="DE")
    assert not list(blind.find(CallFilter(), inside, on_closed=lambda: closed.append(1)))
    assert len(closed) == 7
    assert blind.blast("call-1")["closed"] == 2  # of its run: those that ran
    assert "closed" in blind.why(PAID)["decisions"][0]["answer"]


def test_two_runs_are_compared_call_by_call(inquiry: Inquiry) -> None:
    same = list(inquiry.compare("run-tuesday", "run-tuesday"))
    assert [row["change"] for row in same] == ["same"] * 4

    rows = list(inquiry.compare("run-tuesday", "run-wednesday"))
    changes = [(row["change"], row["differs"]) for row in rows]
    assert ("changed", ["arguments", "outcome", "reasons", "isolation"]) in changes
    assert [change for change, _ in changes].count("first_only") == 3
    with pytest.raises(TraceError, match="run 'run-nope'"):
        list(inquiry.compare("run-tuesday", "run-nope"))


def test_the_record_itself_names_call_entry_and_pointer(
    inquiry: Inquiry, layout: StateLayout
) -> None:
    """Provenance as recorded leads to the very bytes it names."""
    paid = inquiry.call("call-4")
    site = paid.provenance["/recipient"]["from"]
    outcome = TraceIndex(layout.trace, layout.index).entry(site["entry"])

    assert outcome is not None
    assert (outcome.type, outcome.call) == ("outcome", site["call"])
    assert site["pointer"] == ""
    given = Contents(VaultReader(layout.trace, load_kek(layout.kek))).json(outcome, "result")
    assert given == paid.arguments["recipient"]
