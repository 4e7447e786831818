"""A yes to several requests of one run, with one touch of a passkey.

What is signed is the list of the digests of all answers, each of which names the request, the call
and the text that was shown; each vote carries the list and proves itself. The page offers only what
it shows whole and what this person may answer, and while it is open its script takes over no list
with a request that does not stand on it; the server cannot know what was on a screen. One that
changed meanwhile stops all before anything is signed; votes are cast one by one after, and what came
too late is told by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from permissions.approval.passkeys import begin_votes, finish_votes
from permissions.approval.text import visible
from permissions.approval.votes import read_vote, statement_of
from permissions.console.passkeys import credential_of
from permissions.console.people import approver_of
from permissions.console.question import BATCH, hindrance, open_request
from permissions.errors import ApprovalError, ApproverRefusedError, SigningError
from permissions.logs import get_logger

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.approval.approvers import Approver
    from permissions.approval.model import AccessRequest
    from permissions.console.visit import Visit

_log = get_logger("console.together")


async def begin(visit: Visit) -> Response:
    """Asks for the passkey under a yes to all that the page shows."""
    fields = await visit.form()
    approver = await approver_of(visit)
    shown = [each.partition(" ")[::2] for each in fields.get("shown", "").split(",")]
    if approver is None or not 0 < len(shown) <= BATCH:
        return visit.told("There is nothing to answer", "Load the page anew.", status=404)
    requests = []
    for name, digest in shown:
        request = await open_request(visit, name)
        said = _hinders(visit, request, approver, digest)
        if request is None or said:
            return visit.told("The page is stale", f"{said} Nothing was signed.", status=409)
        requests.append(request)
    try:
        payloads = [
            statement_of(
                request,
                approver=approver.id,
                verdict="approve",
                note=fields.get("note", "").strip(),
                now=visit.parts.clock(),
            )
            for request in requests
        ]
        question = begin_votes(payloads, approver, visit.parts.site)
    except (ApproverRefusedError, SigningError) as err:
        return visit.told("You cannot answer here", str(err), status=403)
    return JSONResponse({"options": question.options, "state": question.sealed})


async def finish(visit: Visit) -> Response:
    """Casts the votes that the passkey signed; says which came too late."""
    fields = await visit.form()
    approver = await approver_of(visit)
    if approver is None:
        return visit.told("There is nothing to answer", "It is not yours.", status=404)
    run = visit.request.path_params["run"]
    try:
        envelopes = finish_votes(fields.get("state", ""), credential_of(fields), approver)
        votes = [(read_vote(each).request, each) for each in envelopes]
    except ApprovalError as err:
        _log.warning("votes_refused", run=run, approver=approver.id)
        return visit.told("The answers do not count", str(err)[:500], status=403)
    late = []
    for name, envelope in votes:
        try:
            await visit.parts.broker.parts.approvals.vote(envelope)
        except ApprovalError as err:
            _log.warning("vote_refused", request=name, approver=approver.id)
            late.append(f"{visible(name[:40])}: {visible(str(err)[:160])}")
    if late:
        said = f"{len(votes) - len(late)} of {len(votes)} were cast. Not: {'; '.join(late)}"
        return visit.told("Not all of it", said[:1500], status=409)
    return JSONResponse({"next": f"{visit.parts.prefix}/runs/{run}/requests"})


def _hinders(
    visit: Visit, request: AccessRequest | None, approver: Approver, digest: str
) -> str:
    """Why a request of the page cannot be answered as it stood there; empty when it can."""
    if request is None:
        return "One of the requests is not there any more."
    if request.call.run != visit.request.path_params["run"]:
        return "One of the requests is of another run."
    if digest != request.shown_digest:
        return (
            f"{visible(request.call.tool)}: the page shows another text than would be signed."
        )
    said = hindrance(visit, request, approver)
    return f"{visible(request.call.tool)}: {said}" if said else ""
