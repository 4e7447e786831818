"""Each way an access request may go, and each way it may not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from people import APPROVERS, REASON, START, payment, signed_vote

from permissions.approval import lifecycle
from permissions.approval.model import AccessRequest
from permissions.approval.votes import read_vote
from permissions.errors import (
    ApprovalError,
    ApprovalUsedError,
    ApproverRefusedError,
    RequestClosedError,
)

if TYPE_CHECKING:
    from permissions.approval.model import RequestedCall, Status, Verdict

END = START + 900_000_000


def asked(call: RequestedCall | None = None, **state: object) -> AccessRequest:
    request = AccessRequest(
        id="ar-1",
        call=call or payment(),
        reasons=(REASON,),
        created_at=START,
        expires_at=END,
    )
    return replace(request, **state)  # type: ignore[arg-type]  # tests name real fields


def cast(
    request: AccessRequest, name: str, verdict: Verdict = "approve", *, now: int = START
) -> AccessRequest:
    vote = read_vote(signed_vote(request, name, verdict))
    return lifecycle.cast(request, vote, APPROVERS.get(name), now=now)


@dataclass(frozen=True)
class Case:
    id: str
    voter: str
    call: RequestedCall
    refused: str | None


ELIGIBILITY = [
    Case("a_member_may", "bob", payment(), None),
    Case("any_of_the_groups_will_do", "carol", payment(groups=("security", "x")), None),
    Case("an_outsider_may_not", "dave", payment(), "none of the groups"),
    Case("the_human_acted_for_may_not", "alice", payment(), "asked for this call"),
    Case("the_requester_may_not", "bob", payment(subject="bob"), "asked for this call"),
    Case("however_they_are_written", "bob", payment(subject="user:BOB"), "asked for this call"),
    Case("prefixed_twice", "bob", payment(subject="user:User:bob"), "asked for this call"),
    Case("in_wide_letters", "bob", payment(subject="\uff42ob"), "asked for this call"),
    Case("in_a_wide_prefix", "bob", payment(subject="user\uff1aBob "), "asked for this call"),
    Case("a_longer_name_is_another", "bob", payment(subject="user:bobby"), None),
    Case("a_bare_name_counts", "alice", payment(on_behalf_of="alice"), "asked for this call"),
    Case("unless_policy_does_not_mind", "alice", payment(separation=False), None),
    Case("nobody_acted_for", "alice", payment(on_behalf_of=None), None),
]


@pytest.mark.parametrize("case", ELIGIBILITY, ids=lambda case: case.id)
def test_who_may_answer(case: Case) -> None:
    if case.refused is None:
        lifecycle.require_eligible(case.call, APPROVERS.get(case.voter))
        return
    with pytest.raises(ApproverRefusedError, match=case.refused):
        lifecycle.require_eligible(case.call, APPROVERS.get(case.voter))


def test_one_approval_is_enough_when_one_is_asked_for() -> None:
    assert cast(asked(), "bob").status == "approved"


def test_a_quorum_needs_different_people() -> None:
    once = cast(asked(payment(quorum=2)), "bob")

    assert once.status == "pending"
    with pytest.raises(ApproverRefusedError, match="already answered"):
        cast(once, "bob")
    assert cast(once, "carol").status == "approved"


def test_one_deny_ends_it_even_after_approvals() -> None:
    once = cast(asked(payment(quorum=3)), "bob")

    assert cast(once, "carol", "deny").status == "denied"


CLOSED: list[Status] = ["approved", "denied", "expired", "cancelled"]


@pytest.mark.parametrize("status", CLOSED)
def test_ends_are_final(status: Status) -> None:
    request = asked(status=status)

    with pytest.raises(RequestClosedError, match=status):
        cast(request, "bob")
    with pytest.raises(RequestClosedError, match=status):
        lifecycle.cancel(request, now=START)
    assert lifecycle.expire(request, now=END) == request


def test_a_request_expires_at_its_very_moment() -> None:
    assert lifecycle.expire(asked(), now=END - 1).status == "pending"
    assert lifecycle.expire(asked(), now=END).status == "expired"
    with pytest.raises(RequestClosedError, match="expired"):
        cast(asked(), "bob", now=END)
    with pytest.raises(RequestClosedError, match="expired"):
        lifecycle.cancel(asked(), now=END)


def test_an_approval_is_used_once() -> None:
    used = lifecycle.consume(asked(status="approved"), now=START + 5)

    assert used.consumed_at == START + 5
    with pytest.raises(ApprovalUsedError):
        lifecycle.consume(used, now=START + 6)


@pytest.mark.parametrize("status", ["pending", "denied", "expired", "cancelled"])
def test_only_an_approved_request_can_be_used(status: Status) -> None:
    with pytest.raises(RequestClosedError, match=status):
        lifecycle.consume(asked(status=status), now=START)


UNUSABLE = asked().usable_until


def test_an_approval_that_waited_too_long_cannot_be_used() -> None:
    with pytest.raises(RequestClosedError, match="expired unused"):
        lifecycle.consume(asked(status="approved"), now=UNUSABLE)


STANDING = [
    (asked(), START, True),
    (asked(), END, False),
    (asked(status="approved"), START, True),
    (asked(status="approved"), UNUSABLE, False),
    (asked(status="edited"), END, True),
    (asked(status="approved", consumed_at=START), START, False),
    (asked(status="denied"), END, True),
    (asked(status="expired"), START, False),
    (asked(status="cancelled"), START, False),
]


@pytest.mark.parametrize(("request_", "now", "stands"), STANDING)
def test_what_asking_again_meets(request_: AccessRequest, now: int, stands: bool) -> None:  # noqa: FBT001
    assert lifecycle.stands(request_, now=now) is stands


FIELDS = {
    "run": "run-2",
    "key": "call-2",
    "tool": "other",
    "tool_digest": "sha256:" + "c" * 64,
    "arguments": '{"amount":"980.01","recipient":"DE02120300000000202051"}',
    "targets": '[{"kind":"path"}]',
    "workspace": "/srv/other",
    "policy_revision": "sha256:" + "c" * 64,
    "plan_step": None,
    "subject": "other-agent",
    "on_behalf_of": None,
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_change_of_anything_is_another_call(field: str) -> None:
    assert payment(**{field: FIELDS[field]}).binding != payment().binding


@pytest.mark.parametrize(
    "call",
    [
        payment(quorum=2),
        payment(separation=False),
        payment(groups=("kitchen",)),
        payment(expires_in_seconds=901),
    ],
    ids=["quorum", "separation", "groups", "expiry"],
)
def test_a_change_of_the_terms_is_another_call(call: RequestedCall) -> None:
    assert call.binding != payment().binding


def test_every_field_of_a_call_is_bound() -> None:
    """A field added later must be listed above, and so be bound."""
    assert set(payment().document()) == {*FIELDS, "terms"}


def test_a_stored_request_reads_back_or_is_refused() -> None:
    request = asked()
    state = {"status": "pending", "votes": (), "consumed_at": None}

    assert AccessRequest.from_shown(request.shown, **state) == request  # type: ignore[arg-type]
    for broken in (
        "",
        "[]",
        "{}",
        request.shown + " ",
        request.shown.replace('"targets":"[]",', ""),
        request.shown.replace('"quorum":1', '"quorum":1.0'),
        request.shown.replace('"run":', '"runs":'),
    ):
        with pytest.raises(ApprovalError):
            AccessRequest.from_shown(broken, **state)  # type: ignore[arg-type]
