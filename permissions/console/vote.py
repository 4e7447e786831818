"""An answer to a request: asked of the voter's passkey, and cast when it signed.

The page says which text it showed; when that is not the request's, or the request is not open any
more, whoever answers is told, and nothing is asked of their passkey. Of two who answer at the same
moment the store lets both vote or one, by its own rules: what is told here is its word.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast, get_args

from starlette.responses import JSONResponse

from permissions.approval.model import Verdict
from permissions.approval.passkeys import begin_vote, finish_vote
from permissions.approval.votes import read_vote
from permissions.console import remember
from permissions.console.offer import offer
from permissions.console.passkeys import credential_of
from permissions.console.people import approver_of
from permissions.console.question import hindrance, open_request, state_of
from permissions.errors import (
    ApprovalError,
    ApproverRefusedError,
    RequestClosedError,
    SigningError,
)
from permissions.logs import get_logger

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.approval.approvers import Approver
    from permissions.approval.model import AccessRequest
    from permissions.console.visit import Visit
    from permissions.model import JsonObject

_log = get_logger("console.vote")


async def begin(visit: Visit) -> Response:
    """Asks for the passkey under exactly this answer."""
    fields = await visit.form()
    verdict, note = fields.get("verdict", ""), fields.get("note", "").strip()
    if verdict not in get_args(Verdict):
        return visit.told("That is no answer", "Say approve, deny or edit.", status=400)
    if verdict == "deny" and not note:
        return visit.told("Say why", "A no needs words: the agent hears them.", status=400)
    try:
        remember.wanted(fields)
    except ValueError as err:
        return visit.told("That is no answer", str(err), status=400)
    found = await _answerable(visit, fields)
    if not isinstance(found, tuple):
        return found
    request, approver = found
    try:
        question = begin_vote(
            request,
            approver,
            cast("Verdict", verdict),
            note=note,
            now=visit.parts.clock(),
            site=visit.parts.site,
            arguments=_edited(fields) if verdict == "edit" else None,
        )
    except (ApproverRefusedError, SigningError) as err:
        return visit.told("You cannot answer here", str(err), status=403)
    return JSONResponse({"options": question.options, "state": question.sealed})


async def finish(visit: Visit) -> Response:
    """Casts the vote that the passkey signed."""
    fields = await visit.form()
    found = await _answerable(visit, fields)
    if not isinstance(found, tuple):
        return found
    request, approver = found
    try:
        envelope = finish_vote(fields.get("state", ""), credential_of(fields), approver)
        said = read_vote(envelope)
        if said.request != request.id:
            return visit.told(
                "The answer does not count", "It is to another request.", status=403
            )
        voted = await visit.parts.broker.parts.approvals.vote(envelope)
    except RequestClosedError:
        return await _too_late(visit, request.id)
    except ApprovalError as err:
        _log.warning("vote_refused", request=request.id, approver=approver.id)
        return visit.told("The answer does not count", str(err)[:500], status=403)
    return _after(visit, fields, voted, approver, said.verdict)


def _after(
    visit: Visit,
    fields: dict[str, str],
    voted: AccessRequest,
    approver: Approver,
    verdict: Verdict,
) -> Response:
    """Where to go on, and what else is to be signed; the vote is cast."""
    there = _next(visit, fields, voted)
    try:
        want = remember.wanted({**fields, "verdict": verdict})
        if want is not None and offer(voted, approver) is not None:
            return remember.asked(visit, voted, approver, want, there)
    except (ApprovalError, ValueError) as err:
        _log.warning("grant_refused", request=voted.id, cause=str(err)[:300])
    return JSONResponse({"next": there})


async def _answerable(
    visit: Visit, fields: dict[str, str]
) -> tuple[AccessRequest, Approver] | Response:
    """The request and who answers it, or why they cannot."""
    request = await open_request(visit, visit.request.path_params["request"])
    approver = await approver_of(visit)
    if request is None or approver is None:
        return visit.told("There is no such request", "It is not yours to answer.", status=404)
    if not state_of(request, visit.parts.clock()).open:
        return await _too_late(visit, request.id)
    if fields.get("shown", "") != request.shown_digest:
        said = "This page shows another text than what would be signed. Load it anew."
        return visit.told("The page is stale", said, status=409)
    if said := hindrance(visit, request, approver):
        return visit.told("You cannot answer it", said, status=409)
    return request, approver


async def _too_late(visit: Visit, name: str) -> Response:
    """Says who was first, or that time was over. Nothing was signed or cast."""
    request = await visit.parts.broker.parts.approvals.get(name)
    words = state_of(request, visit.parts.clock()).words
    who = ", ".join(vote.approver for vote in request.votes)
    said = f"Too late, and nothing was cast. {words}{f' by {who}' if who else ''}."
    return visit.told("It is not open any more", said, status=409)


def _edited(fields: dict[str, str]) -> JsonObject:
    """The arguments as somebody wants them.

    Raises:
        SigningError: they are no JSON object.
    """
    try:
        found = json.loads(fields.get("arguments", ""))
    except (ValueError, RecursionError) as err:
        raise SigningError(f"the arguments are no JSON: {str(err)[:200]}") from None
    if not isinstance(found, dict):
        raise SigningError("the arguments have to be a JSON object")
    return found


def _next(visit: Visit, fields: dict[str, str], voted: AccessRequest) -> str:
    """Where the browser goes on: where it was, on the page of a whole run."""
    run = f"{visit.parts.prefix}/runs/{voted.call.run}/requests"
    return run if fields.get("batch") else f"{visit.parts.prefix}/requests/{voted.id}"
