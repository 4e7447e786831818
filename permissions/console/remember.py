"""A yes that is remembered: offered beside the vote, signed by the same passkey right after it.

The constraints are those of the call at hand, each control argument as it is; whoever wants a wider
one has `wardline request remember`. It is two signatures, as it is two statements: that the first
was given and the second not leaves an approval and nothing remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError
from starlette.responses import JSONResponse

from permissions.approval.grant import (
    MAX_SECONDS,
    MAX_USES,
    PAYLOAD_TYPE,
    Grant,
    grant_of,
    proposed,
    statement,
)
from permissions.approval.passkeys import begin_statement, finish_statement
from permissions.broker.ports import random_id
from permissions.console.passkeys import credential_of
from permissions.console.people import approver_of
from permissions.console.question import open_request
from permissions.errors import ApprovalError
from permissions.logs import get_logger
from permissions.signing import dsse

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.approval.approvers import Approver
    from permissions.approval.model import AccessRequest
    from permissions.console.visit import Visit

_log = get_logger("console.remember")


class Wanted(NamedTuple):
    """For how long, and how often."""

    hours: int
    uses: int


def wanted(fields: dict[str, str]) -> Wanted | None:
    """What the form says of it; None when it is not to be remembered.

    Raises:
        ValueError: a number is none, or beyond what a grant may have.
    """
    if fields.get("remember") != "1" or fields.get("verdict") != "approve":
        return None
    hours, uses = (_number(fields.get(name, "")) for name in ("hours", "uses"))
    if not 1 <= hours <= MAX_SECONDS // 3600:
        raise ValueError(f"it is remembered for 1 to {MAX_SECONDS // 3600} hours")
    if not 1 <= uses <= MAX_USES:
        raise ValueError(f"it is remembered for 1 to {MAX_USES} uses")
    return Wanted(hours, uses)


def asked(
    visit: Visit, request: AccessRequest, approver: Approver, want: Wanted, then: str
) -> Response:
    """Asks for the passkey once more, under what is to be remembered.

    Raises:
        ApprovalError: it cannot be remembered.
    """
    grant = grant_of(
        request,
        proposed(request),
        name=random_id("grant"),
        approver=approver.id,
        uses=want.uses,
        seconds=want.hours * 3600,
        now=visit.parts.clock(),
    )
    question = begin_statement(PAYLOAD_TYPE, statement(grant), approver, visit.parts.site)
    path = f"{visit.parts.prefix}/requests/{request.id}/remember"
    return JSONResponse(
        {
            "options": question.options,
            "state": question.sealed,
            "finish": path,
            "next": then,
        }
    )


async def finish(visit: Visit) -> Response:
    """Keeps what the passkey signed, of somebody who approved this request."""
    fields = await visit.form()
    request = await open_request(visit, visit.request.path_params["request"])
    approver = await approver_of(visit)
    if request is None or approver is None:
        return visit.told("There is no such request", "It is not yours to answer.", status=404)
    if (approver.id, "approve") not in [(v.approver, v.verdict) for v in request.votes]:
        said = "You did not approve this request, so nothing is remembered of it."
        return visit.told("Not remembered", said, status=409)
    try:
        envelope = finish_statement(
            PAYLOAD_TYPE, fields.get("state", ""), credential_of(fields), approver
        )
        said_of = Grant.model_validate_json(dsse.Envelope.parse(envelope.encode()).payload)
        if (said_of.request, said_of.approver) != (request.id, approver.id):
            return visit.told("Not remembered", "It is of another request.", status=403)
        await visit.parts.broker.parts.approvals.remember(envelope)
    except (ApprovalError, ValidationError) as err:
        _log.warning("grant_refused", request=request.id, approver=approver.id)
        return visit.told("Not remembered", str(err)[:500], status=403)
    return JSONResponse({"next": f"{visit.parts.prefix}/requests/{request.id}"})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else -1
