"""Signing in by passkey, and adding one: only in the session of a one-time link, once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from permissions.approval.passkeys import (
    begin_enrolment,
    begin_sign_in,
    finish_enrolment,
    finish_sign_in,
)
from permissions.console.people import approver_of
from permissions.errors import ApprovalError
from permissions.logs import get_logger

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.console.challenges import Challenges
    from permissions.console.visit import Visit

_log = get_logger("console.passkeys")
_NOBODY = ""
_EXPIRED = "That took too long. Try again."


async def me(visit: Visit) -> Response:
    """What somebody is signed in as, and their passkeys."""
    kept = await visit.parts.broker.parts.approvals.passkeys()
    return visit.page(
        "me.html",
        passkeys=[each for each in kept if each.approver == visit.who.name],
        is_approver=visit.role == "approver",
    )


async def sign_in_begin(visit: Visit, challenges: Challenges) -> Response:
    """Asks a browser for any passkey of this site."""
    await visit.form()
    question = begin_sign_in(visit.parts.site)
    return JSONResponse(
        {"options": question.options, "state": challenges.keep(question.sealed, _NOBODY)}
    )


async def sign_in_finish(visit: Visit, challenges: Challenges) -> Response:
    """Signs in whose passkey it was."""
    fields = await visit.form()
    challenge = challenges.take(fields.get("state", ""), _NOBODY)
    if challenge is None:
        return visit.told("Try again", _EXPIRED, status=403)
    people = await visit.parts.broker.parts.approvals.approvers()
    try:
        approver = finish_sign_in(challenge, credential_of(fields), people)
    except ApprovalError as err:
        _log.warning("sign_in_refused", by="passkey")
        return visit.told("That did not work", str(err), status=403)
    secret, session = await visit.parts.sign_ins.begin(
        approver.id, "approver", visit.browser, by="passkey"
    )
    _log.info("signed_in", name=session.name, role=session.role, by="passkey")
    return visit.sign_in(JSONResponse({"next": f"{visit.parts.prefix}/inbox"}), secret)


async def enrol_begin(visit: Visit, challenges: Challenges) -> Response:
    """Asks a browser to make a passkey for whom the link was made."""
    await visit.form()
    approver = await approver_of(visit)
    if not visit.who.enrols or approver is None:
        return _not_here(visit)
    question = begin_enrolment(approver, visit.parts.site)
    state = challenges.keep(question.sealed, visit.who.digest)
    return JSONResponse({"options": question.options, "state": state})


async def enrol_finish(visit: Visit, challenges: Challenges) -> Response:
    """Adds the passkey; the session cannot add another."""
    fields = await visit.form()
    challenge = challenges.take(fields.get("state", ""), visit.who.digest)
    if not visit.who.enrols or challenge is None:
        return _not_here(visit) if challenge else visit.told("Again", _EXPIRED, status=403)
    try:
        passkey = finish_enrolment(challenge, credential_of(fields), visit.parts.site)
        await visit.parts.broker.parts.approvals.enrol(visit.who.name, passkey)
    except ApprovalError as err:
        return visit.told("That did not work", str(err), status=400)
    await visit.parts.sign_ins.spent(visit.who)
    return JSONResponse({"next": f"{visit.parts.prefix}/inbox"})


def credential_of(fields: dict[str, str]) -> dict[str, Any]:
    """What a browser gave as a credential; empty when it is none, which then fits nothing."""
    try:
        found = json.loads(fields.get("credential", ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _not_here(visit: Visit) -> Response:
    said = "A passkey is added in the session of an invitation. Ask the operator for one."
    return visit.told("Not in this session", said, status=403)
