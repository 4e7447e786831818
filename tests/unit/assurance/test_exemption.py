"""An exemption counts when a person who may signed this finding, and until its end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from permissions.approval.approvers import Approver, Approvers
from permissions.assurance.exemption import (
    PAYLOAD_TYPE,
    Bounds,
    Exemption,
    exemption_of,
    judged_exemptions,
    read_exemptions,
    sign_exemption,
)
from permissions.errors import ConfigError
from permissions.gathered import Finding
from permissions.signing import dsse
from permissions.testing import Person

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_800_000_000_000_000  # 2027-01-15
DAY = 24 * 3_600_000_000
OLGA = Person("olga", ("security",))
EVE = Person("eve", ("finance",))
BOUNDS = Bounds(frozenset({"security"}), 90)
FINDING = Finding(code="policy-diff.newly_allowed", text="pay runs", about="pay, under x")


def approver(person: Person, *groups: str) -> Approver:
    return Approver(person.name, frozenset(groups), person.signer.public)


APPROVERS = Approvers([approver(OLGA, "security"), approver(EVE, "finance")])


def signed(
    *,
    until: date = date(2027, 2, 1),
    now: int = NOON,
    who: Person = OLGA,
    group: str = "security",
) -> bytes:
    return sign_exemption(
        FINDING,
        reason="SEC-7",
        until=until,
        approver=approver(who, group),
        bounds=BOUNDS,
        now=now,
        signer=who.signer,
    )


def judged(line: bytes, *, now: int = NOON) -> tuple[list[Exemption], list[str]]:
    return judged_exemptions([line], APPROVERS, BOUNDS, now)


def test_what_is_signed_counts() -> None:
    held, refused = judged(signed())

    assert refused == []
    found = exemption_of(FINDING, held)
    assert found is not None
    assert (found.by, found.reason, found.until) == ("olga", "SEC-7", date(2027, 2, 1))


def test_it_lets_no_other_finding_by() -> None:
    held, _ = judged(signed())

    for other in (
        FINDING.model_copy(update={"about": "pay, under y"}),
        FINDING.model_copy(update={"code": "probe.open"}),
    ):
        assert exemption_of(other, held) is None


def test_it_ends() -> None:
    last = NOON + 17 * DAY

    assert judged(signed(), now=last)[1] == []
    assert "it ended on 2027-02-01" in judged(signed(), now=last + DAY)[1][0]


def test_it_does_not_come_from_the_future() -> None:
    assert "in the future" in judged(signed(now=NOON + 1))[1][0]


def test_it_lasts_no_longer_than_the_bounds() -> None:
    with pytest.raises(ConfigError, match="longer than 90 days"):
        signed(until=date(2027, 4, 16))
    line = signed(until=date(2027, 4, 15))
    tighter = judged_exemptions([line], APPROVERS, replace(BOUNDS, days=30), NOON)
    assert "longer than 30 days" in tighter[1][0]


def test_who_may_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of the groups"):
        signed(who=EVE, group="finance")
    claimed = signed(who=EVE)  # in a group only by their own word

    assert "none of the groups" in judged(claimed)[1][0]


def test_it_has_a_reason() -> None:
    with pytest.raises(ConfigError, match="a reason has 1 to 500"):
        sign_exemption(
            FINDING,
            reason=" ",
            until=date(2027, 2, 1),
            approver=approver(OLGA, "security"),
            bounds=BOUNDS,
            now=NOON,
            signer=OLGA.signer,
        )


def _edited(line: bytes, **members: object) -> bytes:
    envelope = dsse.Envelope.parse(line)
    payload = json.dumps({**json.loads(envelope.payload), **members}).encode()
    return replace(envelope, payload=payload).dumps()


@pytest.mark.parametrize(
    "line",
    [
        _edited(signed(), until="2027-03-01"),
        _edited(signed(), finding="0" * 12),
        _edited(signed(), by="eve"),
        _edited(signed(), by="nobody"),
        dsse.sign(
            dsse.Envelope.parse(signed()).payload, payload_type=PAYLOAD_TYPE, signers=[EVE.signer]
        ).dumps(),
        dsse.sign(
            dsse.Envelope.parse(signed()).payload, payload_type="text/plain", signers=[OLGA.signer]
        ).dumps(),
        b"{}",
        b"[]",
        b"\xff",
        dsse.sign(b"[1]", payload_type=PAYLOAD_TYPE, signers=[OLGA.signer]).dumps(),
        dsse.sign(b"\xff", payload_type=PAYLOAD_TYPE, signers=[OLGA.signer]).dumps(),
    ],
    ids=["until", "finding", "by", "nobody", "other-key", "type", "empty", "list", "bytes", "array", "text"],
)  # fmt: skip
def test_what_was_altered_or_forged_does_not_count(line: bytes) -> None:
    held, refused = judged(line)

    assert held == []
    assert len(refused) == 1


def test_a_file_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert read_exemptions(tmp_path / "none", APPROVERS, BOUNDS, NOON) == ([], [])
    file = tmp_path / "some.jsonl"
    file.write_bytes(signed() + b"\n\n" + b"torn")
    held, refused = read_exemptions(file, APPROVERS, BOUNDS, NOON)
    assert (len(held), len(refused)) == (1, 1)
