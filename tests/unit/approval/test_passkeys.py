"""Passkeys: enrolled on one site, signing exactly one answer, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import webauthn
from authenticator import Authenticator
from people import APPROVERS, KEYS, REASON, START, Clock, payment

from permissions.approval import passkeys
from permissions.approval.approvers import Approver, Approvers
from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.model import AccessRequest
from permissions.approval.passkeys import Site
from permissions.approval.service import ApprovalService
from permissions.approval.votes import PAYLOAD_TYPE, read_vote, require_genuine
from permissions.errors import (
    ApprovalInvalidError,
    ApproverRefusedError,
    ConfigError,
    RequestClosedError,
    SigningError,
)
from permissions.signing import dsse
from permissions.signing.passkey import Passkey

if TYPE_CHECKING:
    from collections.abc import Callable

SITE = Site.of("https://approve.example.com")
OLGA = Approver("olga", frozenset({"finance"}))


def asked(**changes: str) -> AccessRequest:
    return AccessRequest(
        id="ar-1",
        call=payment(**changes),
        reasons=(REASON,),
        created_at=START,
        expires_at=START + 900_000_000,
    )


@pytest.fixture
def device() -> Authenticator:
    return Authenticator()


def enrol(device: Authenticator, site: Site = SITE, who: Approver = OLGA) -> Approver:
    question = passkeys.begin_enrolment(who, site)
    made = device.create(question.options, site.origin)
    return replace(who, passkeys=(passkeys.finish_enrolment(question.sealed, made, site),))


def ask(olga: Approver, request: AccessRequest | None = None) -> passkeys.Question:
    return passkeys.begin_vote(
        request or asked(), olga, "approve", note="checked", now=START, site=SITE
    )


def test_a_passkey_signs_exactly_what_a_key_file_would(device: Authenticator) -> None:
    olga = enrol(device)
    question = ask(olga)
    envelope = passkeys.finish_vote(
        question.sealed, device.get(question.options, SITE.origin), olga
    )

    vote = read_vote(envelope)
    assert (vote.approver, vote.verdict, vote.note) == ("olga", "approve", "checked")
    assert vote.shown_digest == asked().shown_digest
    assert require_genuine(vote, asked(), Approvers([olga])) == olga
    kept = json.loads(envelope)["signatures"][0]
    client = json.loads(base64.b64decode(kept["webauthn"]["client_data"]))
    payload = base64.b64decode(question.sealed)
    signed = hashlib.sha256(dsse.pae(PAYLOAD_TYPE, payload)).digest()
    assert base64.urlsafe_b64decode(client["challenge"] + "==") == signed


def test_the_library_says_the_same_of_an_assertion(device: Authenticator) -> None:
    """The project's own check of an assertion, against that of `webauthn`."""
    question = passkeys.begin_enrolment(OLGA, SITE)
    made = device.create(question.options, SITE.origin)
    registered = webauthn.verify_registration_response(
        credential=json.dumps(made),
        expected_challenge=base64.urlsafe_b64decode(question.sealed + "=="),
        expected_rp_id=SITE.rp_id,
        expected_origin=SITE.origin,
    )
    olga = replace(OLGA, passkeys=(passkeys.finish_enrolment(question.sealed, made, SITE),))
    asks = ask(olga)
    webauthn.verify_authentication_response(
        credential=device.get(asks.options, SITE.origin),
        expected_challenge=base64.urlsafe_b64decode(asks.options["challenge"] + "=="),
        expected_rp_id=SITE.rp_id,
        expected_origin=SITE.origin,
        credential_public_key=registered.credential_public_key,
        credential_current_sign_count=0,
        require_user_verification=True,
    )


BAD: dict[str, Callable[[Authenticator, dict[str, Any]], dict[str, Any]]] = {
    "another origin": lambda device, asks: device.get(asks, "https://evil.example"),
    "another site": lambda device, asks: device.get(asks, SITE.origin, rp_id="evil.example"),
    "nobody verified": lambda device, asks: device.get(asks, SITE.origin, verified=False),
    "a registration": lambda device, asks: device.get(
        asks, SITE.origin, kind="webauthn.create"
    ),
    "inside another page": lambda device, asks: device.get(asks, SITE.origin, crossOrigin=True),
    "another challenge": lambda device, asks: device.get(
        {**asks, "challenge": "A" * 43}, SITE.origin
    ),
    "another device": lambda _, asks: Authenticator().get(asks, SITE.origin),
    "nothing": lambda _, __: {},
    "no base64": lambda device, asks: {
        **device.get(asks, SITE.origin),
        "response": {"clientDataJSON": 1, "authenticatorData": "!", "signature": None},
    },
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_passkey_did_not_sign_here_and_now_is_no_vote(
    name: str, device: Authenticator
) -> None:
    olga = enrol(device)
    question = ask(olga)

    with pytest.raises(ApprovalInvalidError):
        passkeys.finish_vote(question.sealed, BAD[name](device, question.options), olga)


def test_an_assertion_is_good_for_one_answer_alone(device: Authenticator) -> None:
    olga = enrol(device)
    question = ask(olga)
    given = device.get(question.options, SITE.origin)
    other = ask(olga, asked(arguments='{"amount":"9.00"}'))
    denial = passkeys.begin_vote(asked(), olga, "deny", note="", now=START, site=SITE)

    for sealed in (other.sealed, denial.sealed, "", "!"):
        with pytest.raises(ApprovalInvalidError):
            passkeys.finish_vote(sealed, given, olga)


def test_a_signature_over_the_raw_bytes_is_none_of_a_passkey(device: Authenticator) -> None:
    """An envelope whose assertion was left out, or given to a key file's signature."""
    olga = enrol(device)
    question = ask(olga)
    envelope = json.loads(
        passkeys.finish_vote(question.sealed, device.get(question.options, SITE.origin), olga)
    )
    del envelope["signatures"][0]["webauthn"]

    with pytest.raises(ApprovalInvalidError, match="no assertion"):
        require_genuine(read_vote(json.dumps(envelope)), asked(), Approvers([olga]))


@pytest.mark.parametrize("member", ["authenticator_data", "client_data"])
def test_one_changed_bit_of_what_is_kept_voids_the_vote(
    member: str, device: Authenticator
) -> None:
    olga = enrol(device)
    question = ask(olga)
    text = passkeys.finish_vote(
        question.sealed, device.get(question.options, SITE.origin), olga
    )
    for at in (0, 5, 32):
        envelope = json.loads(text)
        kept = envelope["signatures"][0]["webauthn"]
        raw = bytearray(base64.b64decode(kept[member]))
        raw[at] ^= 1
        kept[member] = base64.b64encode(raw).decode()
        with pytest.raises(ApprovalInvalidError):
            require_genuine(read_vote(json.dumps(envelope)), asked(), Approvers([olga]))


def test_who_has_no_passkey_of_this_site_is_not_asked_for_one(device: Authenticator) -> None:
    olga = enrol(device, Site.of("http://localhost:8443"))

    with pytest.raises(ApproverRefusedError, match=r"approve\.example\.com"):
        ask(olga)


def test_an_enrolment_for_another_challenge_or_site_or_unverified_is_refused(
    device: Authenticator,
) -> None:
    question = passkeys.begin_enrolment(OLGA, SITE)
    other = passkeys.begin_enrolment(OLGA, SITE)
    made = device.create(question.options, SITE.origin)
    for sealed, credential, site in (
        (other.sealed, made, SITE),
        (question.sealed, device.create(question.options, "https://evil.example"), SITE),
        (question.sealed, made, Site.of("https://other.example")),
        (question.sealed, device.create(question.options, SITE.origin, verified=False), SITE),
        (question.sealed, {"id": "x"}, SITE),
    ):
        with pytest.raises(ApprovalInvalidError):
            passkeys.finish_enrolment(sealed, credential, site)


def test_the_public_half_is_one_line_that_reads_back(device: Authenticator) -> None:
    (key,) = enrol(device).passkeys

    assert Passkey.parse(str(key)) == key
    for text in ("", "passkey:", "passkey:e30=", str(KEYS["bob"].public), str(key)[:-8]):
        with pytest.raises(SigningError):
            Passkey.parse(text)


def test_a_sign_in_says_who_it_is_and_signs_no_vote(device: Authenticator) -> None:
    olga = enrol(device)
    people = Approvers([*APPROVERS, olga])
    question = passkeys.begin_sign_in(SITE)
    given = device.get(question.options, SITE.origin)

    assert passkeys.finish_sign_in(question.sealed, given, people) == olga
    with pytest.raises(ApprovalInvalidError):
        passkeys.finish_sign_in(passkeys.begin_sign_in(SITE).sealed, given, people)
    with pytest.raises(ApprovalInvalidError):
        passkeys.finish_vote(ask(olga).sealed, given, olga)


@pytest.mark.parametrize(
    "url", ["", "http://approve.example.com", "https://", "ftp://x", "https://a:b", "approve"]
)
def test_a_site_is_one_that_browsers_let_have_passkeys(url: str) -> None:
    with pytest.raises(ConfigError, match=r"service\.url"):
        Site.of(url)


def test_a_port_is_part_of_the_origin_and_not_of_the_site() -> None:
    assert Site.of("https://a.example:443/") == Site("https://a.example", "a.example")
    assert Site.of("http://localhost:8443") == Site("http://localhost:8443", "localhost")


def service(clock: Clock) -> ApprovalService:
    return ApprovalService(
        InMemoryRequestStore(),
        Approvers([OLGA, *APPROVERS]),
        clock=clock,
        new_id=lambda: "ar-1",
    )


async def test_an_approval_by_passkey_is_used_once_and_not_after_its_revocation(
    device: Authenticator,
) -> None:
    clock = Clock()
    approvals = service(clock)
    (key,) = enrol(device).passkeys
    await approvals.enrol("olga", key)
    request = await approvals.submit(payment(), (REASON,))
    olga = (await approvals.approvers()).get("olga")
    question = ask(olga, request)
    vote = passkeys.finish_vote(
        question.sealed, device.get(question.options, SITE.origin), olga
    )
    assert (await approvals.vote(vote)).status == "approved"
    assert (await approvals.verify(request.id, request.call.binding)).approvers == ("olga",)

    await approvals.revoke_passkey(key.credential)
    with pytest.raises(ApprovalInvalidError):
        await approvals.consume(request.id, request.call.binding)


async def test_nobody_is_asked_who_has_no_key(device: Authenticator) -> None:
    approvals = ApprovalService(
        InMemoryRequestStore(), Approvers([OLGA]), clock=Clock(), new_id=lambda: "ar-1"
    )
    with pytest.raises(Exception, match="0 registered"):
        await approvals.submit(payment(), (REASON,))

    (key,) = enrol(device).passkeys
    await approvals.enrol("olga", key)
    assert (await approvals.submit(payment(), (REASON,))).status == "pending"


async def test_a_passkey_is_enrolled_for_whoever_the_settings_name_and_once(
    device: Authenticator,
) -> None:
    approvals = service(Clock())
    (key,) = enrol(device).passkeys

    with pytest.raises(ApproverRefusedError):
        await approvals.enrol("eve", key)
    await approvals.enrol("olga", key)
    with pytest.raises(Exception, match="enrolled before"):
        await approvals.enrol("bob", key)
    await approvals.revoke_passkey(key.credential)
    with pytest.raises(Exception, match="enrolled before"):
        await approvals.enrol("olga", key)


def test_a_vote_by_passkey_counts_in_the_time_of_the_request(device: Authenticator) -> None:
    olga = enrol(device)
    late = passkeys.begin_vote(
        asked(), olga, "approve", note="", now=START + 900_000_000, site=SITE
    )
    vote = passkeys.finish_vote(late.sealed, device.get(late.options, SITE.origin), olga)

    with pytest.raises((ApprovalInvalidError, RequestClosedError)):
        require_genuine(read_vote(vote), asked(), Approvers([olga]))
