"""The human step as the broker meets it."""

from __future__ import annotations

import anyio
import pytest
from people import APPROVERS, REASON, Clock, desk, payment, signed_vote

from permissions.approval import service as service_module
from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.service import ApprovalService
from permissions.errors import ApprovalError, ApprovalUsedError, RequestClosedError

pytestmark = pytest.mark.both_backends


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> ApprovalService:
    return desk(InMemoryRequestStore(), clock)


async def test_an_approval_goes_from_question_to_single_use(
    service: ApprovalService, clock: Clock
) -> None:
    call = payment()
    request = await service.submit(call, [REASON])
    await service.vote(signed_vote(request, "bob", note="checked the invoice"))

    approval = await service.verify(request.id, call.binding)
    assert approval.document() == {
        "id": "ar-1",
        "approvers": ["bob"],
        "groups": ["finance"],
        "quorum": 1,
        "approved_until": clock.now + 3_600_000_000,
        "policy_revision": call.policy_revision,
        "args_digest": call.args_digest,
        "stages": [{"approvers": ["bob"], "groups": ["finance"]}],
    }

    await service.consume(request.id, call.binding)
    with pytest.raises(ApprovalUsedError):
        await service.consume(request.id, call.binding)
    with pytest.raises(ApprovalUsedError):
        await service.verify(request.id, call.binding)


async def test_groups_name_only_those_that_count(service: ApprovalService) -> None:
    call = payment(groups=("security", "finance"), quorum=2)
    request = await service.submit(call, [REASON])
    await service.vote(signed_vote(request, "carol"))
    await service.vote(signed_vote(request, "bob"))

    approval = await service.verify(request.id, call.binding)
    assert (approval.approvers, approval.groups) == (("bob", "carol"), ("finance", "security"))


@pytest.mark.parametrize(
    "call",
    [
        payment(groups=("nobody",)),
        payment(quorum=3),
        payment(groups=("security",), subject="carol"),
    ],
    ids=["empty_group", "quorum_too_large", "only_the_requester"],
)
async def test_nobody_to_ask_is_an_error_and_opens_nothing(
    service: ApprovalService, call: object
) -> None:
    with pytest.raises(ApprovalError, match="registered approvers"):
        await service.submit(call, [REASON])  # type: ignore[arg-type]  # a call of the table
    assert await service.listed(pending_only=False) == ()


async def test_the_same_call_finds_its_request_in_any_state(
    service: ApprovalService, clock: Clock
) -> None:
    call = payment()
    assert await service.find(call.run, call.binding) is None
    first = await service.submit(call, [REASON])
    assert await service.find(call.run, call.binding) == first

    clock.advance(900)
    found = await service.find(call.run, call.binding)
    assert found is not None
    assert (found.id, found.status) == ("ar-1", "expired")

    second = await service.submit(call, [REASON])
    assert second.id != first.id
    assert await service.find(call.run, call.binding) == second


async def test_after_a_use_the_call_needs_a_new_approval(service: ApprovalService) -> None:
    call = payment()
    request = await service.submit(call, [REASON])
    await service.vote(signed_vote(request, "bob"))
    await service.consume(request.id, call.binding)

    again = await service.submit(call, [REASON])
    assert (again.id, again.status) == ("ar-2", "pending")


async def test_a_waiter_gets_the_answer(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.vote, signed_vote(request, "bob"))
        answered = await service.wait(request.id, 30)

    assert answered.status == "approved"


async def test_who_waits_says_so_once_and_for_what(
    service: ApprovalService, caplog: pytest.LogCaptureFixture
) -> None:
    request = await service.submit(payment(groups=("finance", "security")), [REASON])

    await service.wait(request.id, 0.2)

    (said,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert all(
        word in said.message
        for word in (
            "waiting_for_approval",
            "request=ar-1",
            "tool=send_payment",
            "finance, security",
            "0 of 1",
            "wardline request show ar-1",
        )
    )


async def test_who_waits_says_what_was_answered_and_again_after_a_while(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A minute is the product's; what is tried is that it is said again.
    monkeypatch.setattr(service_module, "SAY_AGAIN_SECONDS", 0.05)
    service = ApprovalService(
        InMemoryRequestStore(),
        APPROVERS,
        clock=clock,
        new_id=lambda: "ar-1",
        url="https://approve.example.com/",
    )
    request = await service.submit(payment(quorum=2), [REASON])
    await service.wait(request.id, 0.2)
    first = [each.message for each in caplog.records if each.levelname == "WARNING"]
    caplog.clear()
    await service.vote(signed_vote(request, "bob"))
    await service.wait(request.id, 0.01)

    assert len(first) > 1
    assert all("https://approve.example.com/requests/ar-1" in each for each in first)
    (last,) = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert "1 of 2" in last


async def test_every_waiter_is_woken(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])
    got: list[str] = []

    async def wait() -> None:
        got.append((await service.wait(request.id, 30)).status)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(wait)
        tasks.start_soon(service.vote, signed_vote(request, "bob", "deny"))

    assert got == ["denied"] * 10


async def test_a_wait_ends_with_its_timeout_and_leaves_the_request_open(
    service: ApprovalService,
) -> None:
    request = await service.submit(payment(), [REASON])

    assert (await service.wait(request.id, 0.01)).status == "pending"
    assert (await service.wait(request.id, 0)).status == "pending"


async def test_a_wait_ends_when_the_request_expires(
    service: ApprovalService, clock: Clock
) -> None:
    request = await service.submit(payment(expires_in_seconds=1), [REASON])
    clock.advance(0.99)

    with anyio.fail_after(40):
        async with anyio.create_task_group() as tasks:

            async def pass_time() -> None:
                await anyio.lowlevel.checkpoint()
                clock.advance(0.01)

            tasks.start_soon(pass_time)
            ended = await service.wait(request.id, 30)

    assert ended.status == "expired"


async def test_a_cancelled_wait_leaves_the_request_open(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])
    with anyio.move_on_after(0.01) as gave_up:
        await service.wait(request.id, 30)

    assert gave_up.cancelled_caught
    assert (await service.vote(signed_vote(request, "bob"))).status == "approved"


async def test_a_withdrawn_request_takes_no_answer(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])
    assert (await service.cancel(request.id)).status == "cancelled"

    with pytest.raises(RequestClosedError, match="cancelled"):
        await service.vote(signed_vote(request, "bob"))


async def test_listing_tells_what_the_clock_ended(
    service: ApprovalService, clock: Clock
) -> None:
    await service.submit(payment(expires_in_seconds=10), [REASON])
    open_ = await service.submit(payment(key="call-2"), [REASON])
    clock.advance(10)

    assert await service.listed(pending_only=True) == (open_,)
    statuses = [request.status for request in await service.listed(pending_only=False)]
    assert statuses == ["expired", "pending"]


async def test_of_two_approvers_at_once_one_decides_and_the_other_is_told(
    service: ApprovalService,
) -> None:
    request = await service.submit(payment(), [REASON])
    got: list[str] = []

    async def vote(name: str, verdict: str) -> None:
        try:
            voted = await service.vote(signed_vote(request, name, verdict))  # type: ignore[arg-type]
            got.append(voted.status)
        except RequestClosedError as err:
            got.append(str(err))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(vote, "bob", "approve")
        tasks.start_soon(vote, "carol", "deny")

    ended = await service.get(request.id)
    assert got[0] == ended.status
    assert f"is {ended.status}, no longer open" in got[1]
    assert len(ended.votes) == 1


def test_the_registry_of_the_tests_has_no_mallory() -> None:
    """Attack tests rely on it."""
    assert {approver.id for approver in APPROVERS} == {"alice", "bob", "carol", "dave"}
