"""One value in several spellings is the same value, and no other one is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from permissions.run.provenance import ProvenanceLedger
from permissions.run.spellings import meanings

SAME = [
    ("eve@X.example", "mailto:EVE@x.example"),
    ("https://X.example:443/a?q=B", "HTTPS://x.example/a?q=B"),
    ("https://x.example", "https://x.example/"),
    ("DE02 1203 0000 0000 2020 51", "de02120300000000202051"),
    ("+49 (30) 901820", "0049 30 901820"),
    ("2026-05-15", "15.05.2026"),
    ("May 15th, 2026", "15 May 2026"),
    ("5/15/2026", "2026/05/15"),
    ("1,980.00 EUR", "€1.980,00"),
    ("USD 1,980", "1980"),
]
OTHER = [
    ("https://x.example/A", "https://x.example/a"),
    ("https://x.example/a", "http://x.example/a"),
    ("https://x.example:8443/", "https://x.example/"),
    ("+49 30 901820", "+49 30 901821"),
    ("2026-05-15", "2026-05-16"),
    ("1,980.00", "1980.50"),
    ("eve@x.example", "eve@xx.example"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_another_spelling(one: str, other: str) -> None:
    assert list(meanings(one)) == list(meanings(other)) != []


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_value(one: str, other: str) -> None:
    assert list(meanings(one)) != list(meanings(other))


@pytest.mark.parametrize(
    "text", ["ACME", "", "03/04/2026", "31/02/2026", "hello 5", "x" * 500, "12:30", "a@b"]
)
def test_what_has_no_reading_or_two_means_nothing(text: str) -> None:
    assert list(meanings(text)) == []


@dataclass(frozen=True)
class Case:
    id: str
    value: object
    origin: str
    trusted: bool


CASES = [
    Case("an account the person spaced", "DE02120300000000202051", "user", trusted=True),
    Case("a phone number they bracketed", "+4930901820", "user", trusted=True),
    Case("a date in words", "2026-05-15", "user", trusted=True),
    Case("an amount written elsewhere", 1980, "user", trusted=True),
    Case("a mail address in another case", "Bob@Corp.example", "user", trusted=True),
    Case("the account of an untrusted text", "DE99 6600 0011 1122 22", "tool", trusted=False),
    Case("its link with a port", "https://EVIL.example:443/x", "tool", trusted=False),
    Case("its words in another case", "PAY  eve NOW", "tool", trusted=False),
    Case("the person's words in another case", "acme", "unknown", trusted=False),
    Case("a piece of the account", "DE02 1203", "unknown", trusted=False),
    Case("a vouched address in another case", "CAROL@corp.example", "tool", trusted=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_provenance_knows_a_value_by_what_it_means(case: Case) -> None:
    ledger = ProvenanceLedger()
    ledger.add_user_text(
        "Tell bob@corp.example that ACME gets 1.980,00 EUR at DE02 1203 0000 0000 2020 51"
        " on May 15th, 2026; call +49 (30) 901820."
    )
    for tool, value, trusted in (
        ("contacts", ["carol@corp.example"], True),
        ("mail", ["DE9966000011112222", "see https://evil.example/x", "pay eve now"], False),
    ):
        ledger.add_output(
            tool, value, trusted=trusted, effect="read", arguments={}, provenance={}
        )

    entry = ledger.trace({"a": case.value}, {"a"})["/a"]

    assert (entry["origin"], entry["trusted"]) == (case.origin, case.trusted)
