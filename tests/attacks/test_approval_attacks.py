"""Attempts to have a call run that nobody approved. Names say what is tried.

Each runs against both stores; the attacker may hold any signed vote that was ever given and,
in the last part, may write the state file.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from people import (
    APPROVERS,
    GROUPS,
    KEYS,
    REASON,
    SECOND,
    STATE_KEYS,
    Clock,
    desk,
    payment,
    signed_vote,
)

from permissions.approval.approvers import Approver, Approvers
from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.service import ApprovalService
from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.approval.votes import PAYLOAD_TYPE, read_vote
from permissions.database import StateDatabase
from permissions.errors import (
    ApprovalError,
    ApprovalInvalidError,
    ApproverRefusedError,
    RequestClosedError,
    StateError,
)
from permissions.signing import dsse
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.approval.store import RequestStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RequestStore]:
    if request.param == "memory":
        yield InMemoryRequestStore()
        return
    async with StateDatabase(tmp_path / "state.sqlite", [SCHEMA]) as database:
        yield SqliteRequestStore(database, STATE_KEYS)


@pytest.fixture
def service(store: RequestStore, clock: Clock) -> ApprovalService:
    return desk(store, clock)


async def approved(service: ApprovalService, call: RequestedCall) -> AccessRequest:
    request = await service.submit(call, [REASON])
    return await service.vote(signed_vote(request, "bob"))


async def test_an_approval_for_changed_arguments_is_refused(service: ApprovalService) -> None:
    request = await approved(service, payment())
    other = payment(arguments='{"amount":"980.00","recipient":"DE02120300000000202052"}')

    with pytest.raises(ApprovalInvalidError, match="another call"):
        await service.verify(request.id, other.binding)
    with pytest.raises(ApprovalInvalidError, match="another call"):
        await service.consume(request.id, other.binding)
    assert (await service.get(request.id)).consumed_at is None


async def test_an_approval_under_an_older_policy_is_refused(service: ApprovalService) -> None:
    request = await approved(service, payment())

    with pytest.raises(ApprovalInvalidError, match="another call"):
        await service.verify(request.id, payment(policy_revision="sha256:" + "c" * 64).binding)


async def test_a_vote_moved_to_another_request_is_refused(service: ApprovalService) -> None:
    """The attacker relabels the request in a vote; the signature no longer holds."""
    harmless = await service.submit(payment(), [REASON])
    harmful = await service.submit(payment(key="call-2", arguments='{"amount":"1"}'), [REASON])
    given = signed_vote(harmless, "bob")

    envelope = json.loads(given)
    said = json.loads(base64.b64decode(envelope["payload"]))
    said |= {
        "request": harmful.id,
        "binding": harmful.call.binding,
        "shown_digest": harmful.shown_digest,
    }
    envelope["payload"] = base64.b64encode(canonical(said)).decode()

    with pytest.raises(ApprovalInvalidError, match="not signed by the key"):
        await service.vote(json.dumps(envelope))
    assert (await service.get(harmful.id)).votes == ()


async def test_a_vote_replayed_on_the_same_call_asked_again_is_refused(
    service: ApprovalService, clock: Clock
) -> None:
    """Same call, same binding; the request and the text shown are others."""
    first = await service.submit(payment(), [REASON])
    given = signed_vote(first, "bob")
    clock.advance(900)
    second = await service.submit(payment(), [REASON])

    assert first.call.binding == second.call.binding
    with pytest.raises(RequestClosedError, match="expired"):
        await service.vote(given)
    assert (await service.get(second.id)).status == "pending"


async def test_a_vote_is_counted_once(service: ApprovalService) -> None:
    request = await service.submit(payment(quorum=2), [REASON])
    given = signed_vote(request, "bob")
    await service.vote(given)

    for again in (given, signed_vote(request, "bob", note="me again")):
        with pytest.raises(ApproverRefusedError, match="already answered"):
            await service.vote(again)
    assert (await service.get(request.id)).status == "pending"


async def test_a_forged_key_is_refused(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])

    with pytest.raises(ApprovalInvalidError, match="not signed by the key"):
        await service.vote(signed_vote(request, "bob", key="mallory"))


async def test_another_approvers_key_is_refused(service: ApprovalService) -> None:
    request = await service.submit(payment(quorum=2), [REASON])
    await service.vote(signed_vote(request, "bob"))

    with pytest.raises(ApprovalInvalidError, match="not signed by the key"):
        await service.vote(signed_vote(request, "carol", key="bob"))


async def test_an_unknown_approver_is_refused(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])

    with pytest.raises(ApproverRefusedError, match="no registered approver"):
        await service.vote(signed_vote(request, "mallory"))


async def test_approving_ones_own_call_is_refused(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])

    with pytest.raises(ApproverRefusedError, match="somebody else"):
        await service.vote(signed_vote(request, "alice"))


async def test_an_approver_of_another_group_is_refused(service: ApprovalService) -> None:
    request = await service.submit(payment(), [REASON])

    with pytest.raises(ApproverRefusedError, match="none of the groups"):
        await service.vote(signed_vote(request, "dave"))


async def test_a_late_vote_with_an_early_date_is_refused(
    service: ApprovalService, clock: Clock
) -> None:
    request = await service.submit(payment(), [REASON])
    clock.advance(900)

    with pytest.raises(RequestClosedError, match="expired"):
        await service.vote(signed_vote(request, "bob"))
    assert (await service.get(request.id)).status == "expired"


@pytest.mark.parametrize("seconds", [-1, 900], ids=["before_it_was_asked", "after_its_end"])
async def test_a_vote_dated_outside_the_request_is_refused(
    service: ApprovalService, clock: Clock, seconds: int
) -> None:
    request = await service.submit(payment(), [REASON])

    with pytest.raises(ApprovalInvalidError, match="check the clocks"):
        await service.vote(signed_vote(request, "bob", at=clock.now + seconds * SECOND))


async def test_an_approval_kept_past_its_expiry_is_refused(
    service: ApprovalService, clock: Clock
) -> None:
    call = payment()
    request = await approved(service, call)
    clock.advance(3600)

    with pytest.raises(RequestClosedError, match="expired unused"):
        await service.verify(request.id, call.binding)
    with pytest.raises(RequestClosedError, match="expired unused"):
        await service.consume(request.id, call.binding)


async def test_approval_of_someone_struck_off_since_is_refused(
    service: ApprovalService, store: RequestStore, clock: Clock
) -> None:
    call = payment()
    request = await approved(service, call)
    today = Approvers(approver for approver in APPROVERS if approver.id != "bob")
    service = ApprovalService(store, today, clock=clock, new_id=lambda: "x")

    with pytest.raises(ApprovalInvalidError, match="no registered approver"):
        await service.consume(request.id, call.binding)


async def test_approval_of_someone_who_left_the_group_is_refused(
    service: ApprovalService, store: RequestStore, clock: Clock
) -> None:
    call = payment()
    request = await approved(service, call)
    today = Approvers(
        Approver(name, frozenset({"kitchen"}), KEYS[name].public) for name in GROUPS
    )
    service = ApprovalService(store, today, clock=clock, new_id=lambda: "x")

    with pytest.raises(ApprovalInvalidError, match="none of the groups"):
        await service.consume(request.id, call.binding)


async def test_a_statement_signed_as_another_type_is_no_vote(
    service: ApprovalService,
) -> None:
    """A signature made for something else must not turn into an approval."""
    request = await service.submit(payment(), [REASON])
    payload = dsse.Envelope.parse(signed_vote(request, "bob").encode()).payload
    signed = dsse.sign(payload, payload_type="text/plain", signers=[KEYS["bob"]])
    renamed = replace(signed, payload_type=PAYLOAD_TYPE)

    for envelope in (signed, renamed):
        with pytest.raises(ApprovalInvalidError, match="not signed by the key"):
            await service.vote(envelope.dumps().decode())


@pytest.mark.parametrize(
    "envelope",
    ["", "{}", "[]", "null", '{"payload":"e30=","payloadType":"x","signatures":[]}', "\ud800"],
)
async def test_what_is_no_vote_is_refused(service: ApprovalService, envelope: str) -> None:
    with pytest.raises(ApprovalInvalidError, match="not a signed vote"):
        await service.vote(envelope)


@pytest.mark.parametrize("extra", [{"verdict": "maybe"}, {"also": 1}, {"time": "now"}])
async def test_a_statement_of_another_form_is_refused(
    service: ApprovalService, extra: dict[str, object]
) -> None:
    request = await service.submit(payment(), [REASON])
    payload = dsse.Envelope.parse(signed_vote(request, "bob").encode()).payload
    signed = dsse.sign(
        canonical(json.loads(payload) | extra),
        payload_type=PAYLOAD_TYPE,
        signers=[KEYS["bob"]],
    )
    with pytest.raises(ApprovalInvalidError, match="not a signed vote"):
        await service.vote(signed.dumps().decode())


# -- the attacker may write the stored state ------------------------------------------------


async def test_a_status_set_without_votes_proves_nothing(
    service: ApprovalService, store: RequestStore
) -> None:
    call = payment()
    request = await service.submit(call, [REASON])
    await store.update(request.id, lambda r: replace(r, status="approved"))

    with pytest.raises(ApprovalInvalidError, match="0 different approvers, 1 needed"):
        await service.consume(request.id, call.binding)


async def test_a_deny_among_the_votes_outweighs_the_status(
    service: ApprovalService, store: RequestStore
) -> None:
    call = payment()
    request = await service.submit(call, [REASON])
    votes = (
        read_vote(signed_vote(request, "bob")),
        read_vote(signed_vote(request, "carol", "deny")),
    )
    await store.update(request.id, lambda r: replace(r, status="approved", votes=votes))

    with pytest.raises(ApprovalInvalidError, match="a denial among them"):
        await service.consume(request.id, call.binding)


async def test_a_stored_vote_by_another_key_is_refused(
    service: ApprovalService, store: RequestStore
) -> None:
    call = payment()
    request = await service.submit(call, [REASON])
    vote = read_vote(signed_vote(request, "bob", key="mallory"))
    await store.update(request.id, lambda r: replace(r, status="approved", votes=(vote,)))

    with pytest.raises(ApprovalInvalidError, match="not signed by the key"):
        await service.verify(request.id, call.binding)


async def test_a_vote_that_says_other_than_its_envelope_is_refused(
    service: ApprovalService, clock: Clock
) -> None:
    """A deny presented as an approval; only the memory store keeps what it is handed."""
    store = InMemoryRequestStore()
    service = desk(store, clock)
    call = payment()
    request = await service.submit(call, [REASON])
    denied = read_vote(signed_vote(request, "bob", "deny"))
    turned = replace(denied, verdict="approve")
    await store.update(request.id, lambda r: replace(r, status="approved", votes=(turned,)))

    with pytest.raises(ApprovalInvalidError, match="not what was signed"):
        await service.verify(request.id, call.binding)


ALTERATIONS = {
    "arguments": ("980.00", "980.01"),
    "terms": ('"separation_of_duties":true', '"separation_of_duties":false'),
    "quorum": ('"quorum":2', '"quorum":1'),
    "expiry": ('"expires_at":1795500900000000', '"expires_at":1895500900000000'),
    "behalf": ("user:alice", "user:carol"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
async def test_a_request_altered_after_the_votes_is_refused(
    tmp_path: Path, clock: Clock, alteration: str
) -> None:
    path = tmp_path / "state.sqlite"
    call = payment(quorum=2, groups=("finance", "security"))
    async with StateDatabase(path, [SCHEMA]) as database:
        service = desk(SqliteRequestStore(database, STATE_KEYS), clock)
        request = await service.submit(call, [REASON])
        await service.vote(signed_vote(request, "bob"))
        await service.vote(signed_vote(request, "carol"))
        await service.verify(request.id, call.binding)

        old, new = ALTERATIONS[alteration]
        attacker = sqlite3.connect(path)
        attacker.execute("DROP TRIGGER access_request_final")
        run, name = STATE_KEYS.made(attacker, call.run), f"shown {request.id}"
        (sealed,) = attacker.execute("SELECT shown FROM access_request").fetchone()
        text = run.open(sealed, name=name).decode()  # who may write it may have the key, too
        assert old in text
        altered = run.seal(text.replace(old, new).encode(), name=name)
        attacker.execute("UPDATE access_request SET shown = ?", (altered,))
        attacker.commit()
        attacker.close()

        with pytest.raises(ApprovalError):
            await service.consume(request.id, call.binding)


REFILINGS = {
    "under_another_call": "UPDATE access_request SET binding = :harmful WHERE id = 'ar-1'",
    "under_another_id": """
        UPDATE access_request SET status = 'approved',
            shown = (SELECT shown FROM access_request WHERE id = 'ar-1')
        WHERE id = 'ar-2'
    """,
}


@pytest.mark.parametrize("refiling", REFILINGS)
async def test_an_approval_filed_under_a_harmful_call_is_refused(
    tmp_path: Path, clock: Clock, refiling: str
) -> None:
    """Looked up for the harmful call, the harmless approval must not be found."""
    path = tmp_path / "state.sqlite"
    harmful = payment(key="call-2", arguments='{"amount":"1000000.00"}')
    async with StateDatabase(path, [SCHEMA]) as database:
        service = desk(SqliteRequestStore(database, STATE_KEYS), clock)
        await approved(service, payment())
        if refiling == "under_another_id":
            await service.submit(harmful, [REASON])

        attacker = sqlite3.connect(path)
        attacker.execute("DROP TRIGGER access_request_final")
        filed = STATE_KEYS.made(attacker, harmful.run).tag("binding", harmful.binding)
        attacker.execute(REFILINGS[refiling], {"harmful": filed})
        attacker.commit()
        attacker.close()

        with pytest.raises(ApprovalError, match=r"filed under another|cannot be opened"):
            await service.submit(harmful, [REASON])
        with pytest.raises(ApprovalError, match=r"filed under another|cannot be opened"):
            await service.find(harmful.run, harmful.binding)


async def test_the_state_file_itself_refuses_to_undo_an_end_or_a_use(
    tmp_path: Path, clock: Clock
) -> None:
    """A second guard under the program's own rules."""
    async with StateDatabase(tmp_path / "state.sqlite", [SCHEMA]) as database:
        service = desk(SqliteRequestStore(database, STATE_KEYS), clock)
        call = payment()
        request = await approved(service, call)
        await service.consume(request.id, call.binding)

        for change in (
            "UPDATE access_request SET consumed_at = NULL",
            "UPDATE access_request SET consumed_at = 1",
            "UPDATE access_request SET status = 'pending'",
        ):
            with pytest.raises(StateError, match="leaves pending once"):
                await database.write(lambda c, change=change: c.execute(change))


async def test_an_unknown_request_cannot_be_used(service: ApprovalService) -> None:
    for method in (service.verify, service.consume):
        with pytest.raises(ApprovalError, match="no access request"):
            await method("ar-404", payment().binding)
