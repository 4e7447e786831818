"""Who answered what about a call, checked with the approvers' own keys."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from permissions.approval.model import AccessRequest
from permissions.approval.votes import read_vote, require_genuine
from permissions.errors import ApprovalError, ApproverRefusedError
from permissions.inquiry.contents import Closed

if TYPE_CHECKING:
    from permissions.approval.approvers import Approvers
    from permissions.approval.model import Vote
    from permissions.inquiry.call_record import CallRecord
    from permissions.model import JsonObject
    from permissions.trace.reader import RecordedEntry


def checked_votes(call: CallRecord, approvers: Approvers) -> list[JsonObject]:
    """Each question that was put to people about a call, with every answer to it.

    `problem` of an answer is None when the key of that very approver signed it, for this request,
    this call and the text that was shown, while the request was open; else it says why it proves
    nothing.
    """
    asked = {
        str(each.body.get("request")): each for each in call.entries if each.type == "request"
    }
    answers: dict[str, list[JsonObject]] = {name: [] for name in asked}
    for entry in call.entries:
        envelopes = [name for name in entry.digests if name.startswith("envelope_")]
        earlier: dict[str, list[Vote]] = {}
        for name in sorted(envelopes, key=lambda name: int(name.removeprefix("envelope_"))):
            request, answer = _answer(call, entry, name, asked, approvers, earlier=earlier)
            answers.setdefault(request, []).append(answer)
    return [
        {
            "request": name,
            "entry": asked[name].index if name in asked else None,
            "shown_digest": _shown_digest(call, asked.get(name)),
            "votes": given,
        }
        for name, given in answers.items()
    ]


def _answer(
    call: CallRecord,
    entry: RecordedEntry,
    name: str,
    asked: dict[str, RecordedEntry],
    approvers: Approvers,
    *,
    earlier: dict[str, list[Vote]],
) -> tuple[str, JsonObject]:
    """An answer, and which request it is to; `earlier` are those before it, by request."""
    envelope = call.contents.text(entry, name)
    found: JsonObject = {"entry": entry.index, "content": name, "envelope": None}
    found.update(dict.fromkeys(("approver", "verdict", "note")), time=entry.time)
    if isinstance(envelope, Closed):
        return str(entry.body.get("request")), {**found, "problem": envelope.reason}
    found["envelope"] = envelope
    try:
        vote = read_vote(envelope)
    except ApprovalError as err:
        return str(entry.body.get("request")), {**found, "problem": str(err)}
    before = tuple(earlier.get(vote.request, ()))
    earlier.setdefault(vote.request, []).append(vote)
    found.update(approver=vote.approver, verdict=vote.verdict, note=vote.note, time=vote.time)
    try:
        request = _request(call, asked.get(vote.request))
        require_genuine(vote, request, approvers, earlier=before)
    except ApproverRefusedError:
        problem = f"no key of {vote.approver} is known here; give --key {vote.approver}=FILE"
        return vote.request, {**found, "problem": problem}
    except ApprovalError as err:
        return vote.request, {**found, "problem": str(err)}
    return vote.request, {**found, "problem": None}


def _request(call: CallRecord, entry: RecordedEntry | None) -> AccessRequest:
    """The question as it was recorded.

    Raises:
        ApprovalError: what was shown is not kept, or is no question.
    """
    if entry is None:
        raise ApprovalError("the record has no question that it answers")
    shown = call.contents.text(entry, "shown")
    if isinstance(shown, Closed):
        raise ApprovalError(f"what was shown cannot be read: {shown.reason}")
    return AccessRequest.from_shown(shown, status="pending", votes=(), consumed_at=None)


def _shown_digest(call: CallRecord, entry: RecordedEntry | None) -> str | None:
    if entry is None:
        return None
    shown = call.contents.data(entry, "shown")
    return None if isinstance(shown, Closed) else f"sha256:{hashlib.sha256(shown).hexdigest()}"
