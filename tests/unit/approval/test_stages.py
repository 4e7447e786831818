"""Stages: first these people, then those, at the vote, at use, and for whoever reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from people import APPROVERS, GROUPS, KEYS, REASON, START, Clock, desk, payment, signed_vote
from pydantic import ValidationError

from permissions.approval import lifecycle, stages
from permissions.approval.console import page
from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.model import AccessRequest
from permissions.approval.notices import Notice
from permissions.approval.service import ApprovalService
from permissions.approval.votes import prove, read_vote
from permissions.errors import ApprovalError, ApprovalInvalidError, ApproverRefusedError
from permissions.model import AccessRequestTerms, Decision
from permissions.obligations.comparison import shift

if TYPE_CHECKING:
    from permissions.approval.model import RequestedCall, Verdict

MEMBERS = {"expires_in_seconds": 900, "separation_of_duties": True}


def terms(*order: tuple[str, int], **changes: Any) -> AccessRequestTerms:
    """Of stages, each of one group."""
    return AccessRequestTerms.model_validate(
        {
            "approvers": sorted({group for group, _ in order}),
            "quorum": sum(quorum for _, quorum in order),
            "stages": [{"approvers": [group], "quorum": quorum} for group, quorum in order],
            **MEMBERS,
            **changes,
        }
    )


FINANCE_THEN_SECURITY = terms(("finance", 1), ("security", 1))


def asked(call: RequestedCall | None = None) -> AccessRequest:
    return AccessRequest(
        id="ar-1",
        call=call or replace(payment(), terms=FINANCE_THEN_SECURITY),
        reasons=(REASON,),
        created_at=START,
        expires_at=START + 900_000_000,
    )


def cast(request: AccessRequest, name: str, verdict: Verdict = "approve") -> AccessRequest:
    vote = read_vote(signed_vote(request, name, verdict))
    return lifecycle.cast(request, vote, APPROVERS.get(name), now=START)


def test_each_stage_answers_in_its_turn() -> None:
    request = asked()
    once = cast(request, "bob")

    assert once.status == "pending"
    assert stages.turn(once.call.terms, 1) == (1, once.call.terms.stages[1], 1, 1)
    assert cast(once, "carol").status == "approved"


def test_nobody_answers_out_of_turn() -> None:
    request = asked(replace(payment(), terms=terms(("security", 1), ("finance", 2))))

    with pytest.raises(
        ApproverRefusedError, match="turn of bob: stage 1 of 2 waits for security"
    ):
        cast(request, "bob")
    with pytest.raises(ApproverRefusedError, match="turn of bob"):
        cast(request, "bob", "deny")


def test_who_is_in_two_groups_answers_once() -> None:
    once = cast(asked(), "carol")

    with pytest.raises(ApproverRefusedError, match="already answered"):
        cast(once, "carol")
    with pytest.raises(ApproverRefusedError, match="not the turn of bob"):
        cast(once, "bob")


def test_a_no_of_a_later_stage_ends_it() -> None:
    assert cast(cast(asked(), "bob"), "carol", "deny").status == "denied"


def test_a_later_vote_holds_the_earlier_ones() -> None:
    once = cast(asked(), "bob")
    twice = cast(once, "carol")
    binding = twice.call.binding

    found = prove(twice, binding=binding, approvers=APPROVERS, now=START)
    assert list(found.stages) == [
        {"approvers": ["bob"], "groups": ["finance"]},
        {"approvers": ["carol"], "groups": ["security"]},
    ]
    assert found.document()["stages"] == list(found.stages)
    # A vote that was given before, or after others, is none.
    early = signed_vote(asked(), "carol")
    for votes in (
        (once.votes[0], read_vote(early)),
        twice.votes[::-1],
        (read_vote(signed_vote(asked(), "bob", note="other")), twice.votes[1]),
    ):
        with pytest.raises(ApprovalInvalidError):
            prove(replace(twice, votes=votes), binding=binding, approvers=APPROVERS, now=START)


def test_a_vote_of_no_stage_is_none_of_a_stage() -> None:
    flat = asked(payment())
    vote = read_vote(signed_vote(flat, "bob"))

    assert (vote.stage, vote.after) == (None, None)
    with pytest.raises(ApprovalInvalidError, match="another request, call or text"):
        prove(
            replace(asked(), status="approved", votes=(vote,)),
            binding=asked().call.binding,
            approvers=APPROVERS,
            now=START,
        )


@pytest.mark.parametrize(
    ("order", "enough"),
    [
        ([("finance", 2), ("security", 1)], True),  # alice and bob, then carol
        ([("security", 1), ("finance", 2)], True),
        ([("finance", 3), ("security", 1)], False),  # carol cannot be both
        ([("finance", 1), ("security", 2)], False),
        ([("kitchen", 1), ("nobody", 1)], False),
    ],
)
def test_whether_people_are_enough_counts_each_once(
    order: list[tuple[str, int]],
    enough: bool,  # noqa: FBT001
) -> None:
    assert stages.can_be_met(terms(*order), APPROVERS) is enough


async def test_too_few_for_a_stage_is_an_error_and_opens_nothing() -> None:
    service = desk(InMemoryRequestStore(), Clock())
    call = replace(payment(), terms=terms(("security", 1), ("finance", 2)))  # alice asks

    with pytest.raises(ApprovalError, match="1 of security, then 2 of finance"):
        await service.submit(call, [REASON])
    assert await service.listed(pending_only=False) == ()


async def test_a_stage_is_told_when_its_turn_comes() -> None:
    told: list[tuple[str, ...]] = []
    service = ApprovalService(
        InMemoryRequestStore(),
        APPROVERS,
        clock=Clock(),
        new_id=lambda: "ar-1",
        announce=lambda request: told.append(Notice.of(request, "").groups),
    )
    request = await service.submit(asked().call, [REASON])
    await service.vote(signed_vote(request, "bob"))

    assert told == [("finance",), ("security",)]


async def test_an_approval_of_stages_is_used_once() -> None:
    service = desk(InMemoryRequestStore(), Clock())
    call = asked().call
    request = await service.submit(call, [REASON])
    await service.vote(signed_vote(request, "bob"))
    with pytest.raises(ApproverRefusedError, match="alice asked"):
        await service.vote(signed_vote(await service.get(request.id), "alice"))
    # carol signed what was there before bob answered
    with pytest.raises(ApprovalInvalidError, match="another stage"):
        await service.vote(signed_vote(request, "carol"))
    await service.vote(signed_vote(await service.get(request.id), "carol"))

    assert (await service.verify(request.id, call.binding)).quorum == 2
    assert (await service.consume(request.id, call.binding)).consumed_at is not None


def test_who_reads_a_request_is_told_whose_turn_it_is() -> None:
    shown = page(cast(asked(), "bob"), now=START).text

    assert "needs       first 1 of finance: bob; not by who asks or is acted for" in shown
    assert "needs       then 1 of security (its turn)" in shown


def test_terms_of_stages_say_the_same_twice_or_are_refused() -> None:
    for wrong in tuple[dict[str, Any], ...](
        ({"quorum": 1}, {"approvers": ["finance"]}, {"stages": [{}]})
    ):
        with pytest.raises(ValidationError):
            terms(("finance", 1), ("security", 1), **wrong)
    with pytest.raises(ValidationError):
        terms(("finance", 1))


def test_terms_without_stages_are_written_as_before() -> None:
    assert "stages" not in payment().terms.model_dump(mode="json")
    assert set(payment().document()["terms"]) == {"approvers", "quorum", *MEMBERS}


def test_a_stage_less_binds_weaker() -> None:
    def of(asks: AccessRequestTerms) -> Decision:
        return Decision(
            permitted=False,
            reasons=(),
            obligations=(),
            access_request=asks,
            rules=(),
            response={},
        )

    staged = of(FINANCE_THEN_SECURITY)
    flat = of(terms(("finance", 1), ("security", 1), stages=[]))
    swapped = of(terms(("security", 1), ("finance", 1)))
    more = of(terms(("finance", 1), ("security", 2)))
    assert shift(staged, flat) == ("weaker", ("stages",))
    assert shift(flat, staged) == ("other", ("stages",))
    assert shift(staged, swapped) == ("weaker", ("stages",))
    assert shift(staged, more) == ("other", ("quorum", "stages"))


def test_the_people_of_these_tests_are_those_that_are_meant() -> None:
    assert GROUPS["carol"] == {"finance", "security"}
    assert set(GROUPS) < set(KEYS)
