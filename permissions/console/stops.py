"""The Stop page: what is stopped, stopping something, its proof, and lifting it again.

A stop that was sent twice stops twice, which is harmless; that everything is to be stopped is asked
once more. What follows a form is a page of its own, so that loading it anew sends nothing.

Not protected from: somebody signed in as operator or responder who stops what should run. They are
named in the record, and where the settings want it another person has to agree that it is lifted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, get_args

from permissions.approval.text import time_left
from permissions.broker.resuming import RESUME_TOOL
from permissions.console.question import State, state_of
from permissions.errors import ApprovalError, StateError
from permissions.stops.scope import Scope, ScopeKind
from permissions.stops.statement import MAX_REASON, Resumption, Stop

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.approval.model import AccessRequest
    from permissions.broker.stopping import StopProof
    from permissions.console.visit import Visit

SHOWN: Final = 200
"""Stops on the page, and lines of each part of a proof."""
NAMES: Final = 200
"""Names that the form proposes."""


class Agreement(NamedTuple):
    """The request that another person has to answer before a stop is lifted."""

    request: str
    state: State
    left: str
    votes: tuple[tuple[str, str], ...]
    is_agreed: bool
    """Whether it was approved and not used: the stop can be lifted now."""


async def show(visit: Visit) -> Response:
    """What is stopped now, and the form."""
    given = {name: visit.asked(name)[:600] for name in ("scope", "name")}
    return _page(visit, given=given, problem="", status=200)


async def stop(visit: Visit) -> Response:
    """Stops what the form says; everything only when that was said twice."""
    given = await visit.form()
    try:
        scope, reason = _scope(given), _reason(given)
    except StateError as err:
        return _page(visit, given=given, problem=str(err), status=400)
    if scope.kind == "all" and given.get("sure") != "everything":
        return visit.page("stop_sure.html", reason=reason)
    try:
        proof = await visit.parts.broker.stopping.stop(scope, reason=reason, by=_by(visit))
    except StateError as err:
        # What was written down holds all the same, so the page tells what is in force.
        return _page(visit, given=given, problem=str(err), status=503)
    return visit.to(f"/stop/{proof.stop.id}")


async def one(visit: Visit) -> Response:
    """One stop: its proof, and how it is lifted."""
    try:
        found = _known(visit)
    except StateError as err:
        return visit.told("Nobody can tell", str(err)[:500], status=503)
    if found is None:
        return visit.told("There is no such stop", "Nobody stopped that here.", status=404)
    return await _one(visit, *found, problem="", status=200)


async def resume(visit: Visit) -> Response:
    """Lifts a stop, or asks who has to agree."""
    given = await visit.form()
    try:
        found = _known(visit)
        if found is None:
            return visit.told("There is no such stop", "Nothing was lifted.", status=404)
        reason = _reason(given)
    except StateError as err:
        return visit.told("Nothing was lifted", str(err)[:500], status=400)
    said, _ = found
    terms = visit.parts.resume_terms(said)
    try:
        await visit.parts.broker.stopping.resume(
            said, reason=reason, by=_by(visit), terms=terms
        )
    except (ApprovalError, StateError) as err:
        return await _one(visit, *found, problem=str(err)[:500], status=409)
    return visit.to(f"/stop/{said.id}")


def _page(visit: Visit, *, given: dict[str, str], problem: str, status: int) -> Response:
    broker = visit.parts.broker
    unreadable = ""
    stops: tuple[Stop, ...] = ()
    try:
        stops = broker.parts.stops.in_force()[::-1]
    except StateError as err:
        unreadable = str(err)
    sessions = list(broker.stopping.sessions.values())[-NAMES:]
    return visit.page(
        "stop.html",
        status=status,
        stops=[(each, broker.stopping.proof(each.id)) for each in stops[:SHOWN]],
        more=max(0, len(stops) - SHOWN),
        unreadable=unreadable,
        kinds=get_args(ScopeKind),
        names={
            "run": [each.run for each in sessions],
            "agent": sorted({each.subject.id for each in sessions}),
            "tool": sorted(each.name for each in broker.parts.registry)[:NAMES],
        },
        given={**dict.fromkeys(("scope", "name", "reason"), ""), **given},
        problem=problem,
        longest=MAX_REASON,
    )


async def _one(
    visit: Visit, said: Stop, lifted: Resumption | None, *, problem: str, status: int
) -> Response:
    terms = None if lifted else visit.parts.resume_terms(said)
    proof = visit.parts.broker.stopping.proof(said.id)
    return visit.page(
        "stop_one.html",
        status=status,
        stop=said,
        lifted=lifted,
        terms=terms,
        agreement=None if terms is None else await _agreement(visit, said),
        proof=proof,
        parts=None if proof is None else _parts(proof),
        unknown_tool=said.scope.kind == "tool"
        and visit.parts.broker.known(said.scope.name) is None,
        shown=SHOWN,
        problem=problem,
        longest=MAX_REASON,
    )


def _parts(proof: StopProof) -> dict[str, Any]:
    """What a proof counts, in words."""
    done = len(proof.ended) + len(proof.not_stopped)
    return {
        "ending": max(0, len(proof.running) - done),
        "voided": [
            ("Requests that were withdrawn", proof.requests),
            ("Approvals that were voided", proof.approvals),
            ("Remembered approvals that were revoked", proof.grants),
        ],
    }


async def _agreement(visit: Visit, said: Stop) -> Agreement | None:
    """The newest request to lift this very stop, if somebody asked."""
    asked = await visit.parts.broker.parts.approvals.listed(pending_only=False)
    of_it = [
        each
        for each in asked
        if (each.call.tool, each.call.key) == (RESUME_TOOL, f"stop {said.id}")
    ]
    if not of_it:
        return None
    newest: AccessRequest = of_it[-1]
    now = visit.parts.clock()
    return Agreement(
        newest.id,
        state_of(newest, now),
        time_left(newest.expires_at - now),
        tuple((vote.approver, vote.note) for vote in newest.votes),
        newest.status == "approved" and newest.consumed_at is None,
    )


def _known(visit: Visit) -> tuple[Stop, Resumption | None] | None:
    """A stop that was said, and what lifted it."""
    wanted = visit.request.path_params["stop"]
    said: Stop | None = None
    lifted: Resumption | None = None
    for each in visit.parts.broker.parts.stops.statements():
        if isinstance(each, Stop):
            said = each if each.id == wanted else said
        elif each.lifts == wanted and each.is_signed:
            lifted = each
    return None if said is None else (said, lifted)


def _scope(given: dict[str, str]) -> Scope:
    kind = given.get("scope", "")
    if kind not in get_args(ScopeKind):
        raise StateError("say what to stop: a run, an agent, a tool, or everything")
    name = "" if kind == "all" else given.get("name", "").strip()
    return Scope(cast("ScopeKind", kind), name)


def _reason(given: dict[str, str]) -> str:
    reason = " ".join(given.get("reason", "").split())
    if not 0 < len(reason) <= MAX_REASON:
        raise StateError(f"say why, for the record: 1 to {MAX_REASON} characters")
    return reason


def _by(visit: Visit) -> str:
    """Who says so, as the record has it; the name comes first, as `account` takes it."""
    return f"{visit.who.name} ({visit.role}, in the console)"
