"""Calls whose end nobody knows, and what people found out about them, signed by passkey.

An approver is shown those that they could have answered for: of a call that people approved, whoever
could have voted; of any other, every approver. What they say is the statement that
`wardline call resolve` signs, and counts when the agent asks again (`broker.idempotency`).

Not protected from: a person who is wrong. *Run it again* of what did happen happens twice.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, cast, get_args

import anyio.to_thread
from starlette.responses import JSONResponse

from permissions.approval.passkeys import begin_statement, finish_statement
from permissions.approval.resolution import (
    MAX_NOTE,
    PAYLOAD_TYPE,
    Found,
    read_resolution,
    statement_of,
)
from permissions.console import shown_text
from permissions.console.passkeys import credential_of
from permissions.console.people import approver_of, may_answer
from permissions.errors import (
    ApprovalError,
    BrokerError,
    ConfigError,
    ExecutionError,
    SigningError,
    TraceError,
)
from permissions.execution.journal import Finished, Resolved
from permissions.inquiry.contents import Closed
from permissions.inquiry.doubtful import Doubtful, doubtful
from permissions.logs import get_logger
from permissions.trace.call_filter import CallFilter

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.responses import Response

    from permissions.approval.approvers import Approver
    from permissions.console.visit import Visit
    from permissions.inquiry.call_record import CallRecord

MOST: Final = 100
"""Calls on the page, the newest."""
_log = get_logger("console.doubts")
_WORDS: Final[dict[Found, str]] = {
    "ran": "It ran",
    "did-not-run": "It did not run",
    "run-again": "Run it again",
}


class Shown(NamedTuple):
    """One call in doubt.

    Attributes:
        said: why nothing is to be said of it here; empty where it can be resolved.
        whole: whether nothing of its arguments is left out.
    """

    call: str
    run: str
    time: int
    tool: str
    asked_by: str
    arguments: list[tuple[str, Markup]]
    whole: bool
    said: str


async def show(visit: Visit) -> Response:
    """The page: calls in doubt, the newest first."""
    record = visit.parts.record
    found: list[CallRecord] = []
    if record is not None:
        wanted = CallFilter(outcome="unknown")
        found = await anyio.to_thread.run_sync(record.calls, wanted, MOST + 1)
    approver = await approver_of(visit)
    shown = [
        await _shown(visit, each)
        for each in found[:MOST]
        if visit.role != "approver" or await _is_theirs(visit, each, approver)
    ]
    shown.sort(key=lambda each: bool(each.said))
    return visit.page(
        "doubts.html",
        calls=shown,
        more=len(found) > MOST,
        answers=[(found, words) for found, words in _WORDS.items()],
        answering=approver is not None,
        longest=MAX_NOTE,
    )


async def begin(visit: Visit) -> Response:
    """Asks for the passkey under exactly this answer."""
    fields = await visit.form()
    found = fields.get("found", "")
    if found not in get_args(Found):
        return visit.told("That is no answer", "Say what became of the call.", status=400)
    open_now = await _resolvable(visit)
    if not isinstance(open_now, tuple):
        return open_now
    call, approver = open_now
    try:
        payload = statement_of(
            call.about,
            cast("Found", found),
            approver=approver.id,
            note=fields.get("note", "").strip(),
            now=visit.parts.clock(),
        )
        question = begin_statement(PAYLOAD_TYPE, payload, approver, visit.parts.site)
    except (ApprovalError, SigningError) as err:
        return visit.told("You cannot answer here", str(err)[:500], status=403)
    return JSONResponse({"options": question.options, "state": question.sealed})


async def finish(visit: Visit) -> Response:
    """Keeps the answer that the passkey signed."""
    fields = await visit.form()
    open_now = await _resolvable(visit)
    if not isinstance(open_now, tuple):
        return open_now
    call, approver = open_now
    try:
        envelope = finish_statement(
            PAYLOAD_TYPE, fields.get("state", ""), credential_of(fields), approver
        )
        said = read_resolution(envelope)
        if (said.about, said.approver) != (call.about, approver.id):
            return visit.told("The answer does not count", "It is of another call.", status=403)
        await visit.parts.broker.parts.journal.resolve(call.key, statement=envelope)
    except ApprovalError as err:
        _log.warning("resolution_refused", call=call.about.call, approver=approver.id)
        return visit.told("The answer does not count", str(err)[:500], status=403)
    except ExecutionError:
        return _too_late(visit)
    _log.info("call_resolved", call=said.about.call, found=said.found, approver=approver.id)
    return JSONResponse({"next": f"{visit.parts.prefix}/doubts"})


async def _resolvable(visit: Visit) -> tuple[Doubtful, Approver] | Response:
    """The call and who answers for it, or why they cannot."""
    approver, record = await approver_of(visit), visit.parts.record
    unknown = visit.told("There is no such call", "It is not in doubt.", status=404)
    if record is None or approver is None:
        return unknown
    name = visit.request.path_params["call"]
    try:
        found, call = await anyio.to_thread.run_sync(record.doubtful, name)
    except TraceError:
        return unknown
    except ConfigError as err:
        return visit.told("It is not in doubt", str(err)[:500], status=409)
    if not await _is_theirs(visit, found, approver):
        return unknown
    if isinstance(await visit.parts.broker.parts.journal.find(call.key), Finished | Resolved):
        return _too_late(visit)
    return call, approver


def _too_late(visit: Visit) -> Response:
    said = "Too late, and nothing was kept: somebody resolved it, or it ran to an end since."
    return visit.told("It is not in doubt any more", said, status=409)


async def _is_theirs(visit: Visit, record: CallRecord, approver: Approver | None) -> bool:
    """Whether an approver could have answered for a call."""
    if approver is None or record.start is None:
        return False
    if (request := record.start.body.get("request")) is None:
        return True
    try:
        asked = await visit.parts.broker.parts.approvals.get(str(request))
    except ApprovalError:
        return False
    return may_answer(asked.call, approver)


async def _shown(visit: Visit, record: CallRecord) -> Shown:
    arguments = record.arguments
    lines, left_out = list[tuple[str, "Markup"]](), 0
    if not isinstance(arguments, Closed):
        leaves = list(islice(shown_text.leaves(arguments), shown_text.LEAVES + 1))
        left_out = max(0, len(leaves) - shown_text.LEAVES)
        for name, _, value in leaves[: shown_text.LEAVES]:
            text = shown_text.value(value)
            left_out += text.left_out
            lines.append((name, text.html))
    return Shown(
        call=record.call,
        run=record.run,
        time=record.time,
        tool=record.tool or "",
        asked_by=_asked_by(record),
        arguments=lines,
        whole=not left_out,
        said=await _standing(visit, record),
    )


def _asked_by(record: CallRecord) -> str:
    asked = record.question
    if isinstance(asked, Closed):
        return ""
    subject = asked.get("subject") or {}
    behalf = (subject.get("properties") or {}).get("on_behalf_of") or ""
    return f"{subject.get('id')}{f' for {behalf}' if behalf else ''}"


async def _standing(visit: Visit, record: CallRecord) -> str:
    """Why nothing is to be said of a call; empty when its end is still to be found out."""
    try:
        known = await visit.parts.broker.parts.journal.find(doubtful(record).key)
        if isinstance(known, Resolved):
            said = read_resolution(known.statement)
            note = f': "{said.note}"' if said.note else ""
            return f"{_WORDS[said.found]}, says {said.approver}{note}"
    except BrokerError as err:
        return str(err)
    return "It was run again since." if isinstance(known, Finished) else ""
