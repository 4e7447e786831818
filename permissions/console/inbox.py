"""The list of requests: what waits for whom, riskiest first.

Of each open request a line is made once; later only which are open, and how often they were
answered, is asked of the store. So ten thousand of them are a list like ten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import anyio
import anyio.to_thread

from permissions.approval.reading import reading
from permissions.approval.stages import turn
from permissions.approval.text import literal, time_left, visible
from permissions.console.people import approver_of, may_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response

    from permissions.approval.approvers import Approver
    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.approval.reading import Argument
    from permissions.approval.service import ApprovalService
    from permissions.console.visit import Visit
    from permissions.model import JsonValue

PAGE: Final = 50
MAX_PAGE: Final = 10_000
_EFFECTS = ("read", "write", "send", "execute", "irreversible")
_IMPACTS = ("low", "medium", "high", "critical")
_VALUE = 60
_AT_ONCE = 200
"""Requests that are read between two turns of others."""

Order = Literal["risk", "newest", "closing"]


@dataclass(frozen=True, slots=True)
class Line:
    """A request in a list."""

    id: str
    status: str
    tool: str
    effect: str
    impact: str
    what: str
    untrusted: bool
    """Whether a value that decides what is done comes from somewhere nobody vouches for."""
    for_whom: str
    about_changes: bool
    created_at: int
    expires_at: int
    quorum: int
    answered: tuple[str, ...]
    call: RequestedCall
    """Without its arguments: what says who may answer."""

    @property
    def waits_for(self) -> str:
        """Whose turn it is, where stages have an order."""
        terms = self.call.terms
        if not terms.stages or self.status != "pending":
            return ""
        return visible(", ".join(turn(terms, len(self.answered)).stage.approvers))

    @property
    def risk(self) -> tuple[int, int]:
        """What comes first: impact, then effect; what nobody declared is the riskiest."""
        return _rank(self.impact, _IMPACTS), _rank(self.effect, _EFFECTS)

    @property
    def tone(self) -> str:
        """How it is marked."""
        return tone(self.impact)

    @property
    def end_tone(self) -> str:
        """How its end is marked."""
        return {"approved": "good", "denied": "bad"}.get(self.status, "")

    @classmethod
    def of(cls, request: AccessRequest) -> Line:
        """The line of a request."""
        read = reading(request)
        untrusted = any(
            origin.control and not origin.trusted
            for each in read.arguments
            for origin in each.origins
        )
        return cls(
            id=request.id,
            status=request.status,
            tool=read.tool,
            effect=read.effect,
            impact=read.impact,
            what=", ".join(read.on_what[:4]) or _first_arguments(read.arguments),
            untrusted=untrusted,
            for_whom=read.for_whom,
            about_changes=read.is_about_changes,
            created_at=request.created_at,
            expires_at=request.expires_at,
            quorum=read.quorum,
            answered=tuple(vote.approver for vote in request.votes),
            call=replace(request.call, arguments="{}", targets="[]", effects=None),
        )


class Shown(NamedTuple):
    """A line, for whom it is shown and when."""

    line: Line
    mine: bool
    left: str


class Inbox:
    """The open requests of one broker."""

    def __init__(self, approvals: ApprovalService) -> None:
        self._approvals = approvals
        self._lines: dict[str, Line] = {}
        self._reading = anyio.Lock()

    async def open_lines(self) -> list[Line]:
        """Every open request, in the order they were made.

        Raises:
            StateError: the store cannot be read.
        """
        async with self._reading:
            pending = await self._approvals.pending()
            stale = [
                name
                for name, votes in pending.items()
                if name not in self._lines or len(self._lines[name].answered) != votes
            ]
            known = dict(self._lines)
            for at in range(0, len(stale), _AT_ONCE):
                asked = await self._approvals.several(stale[at : at + _AT_ONCE])
                known.update(await anyio.to_thread.run_sync(_lines_of, asked))
            self._lines = {name: known[name] for name in pending if name in known}
            return list(self._lines.values())


def ordered(lines: Iterable[Line], order: Order) -> list[Line]:
    """Lines as they are read: riskiest first and newest among equals, or by time alone."""
    match order:
        case "newest":
            return sorted(lines, key=lambda each: -each.created_at)
        case "closing":
            return sorted(lines, key=lambda each: each.expires_at)
        case _:
            return sorted(lines, key=lambda each: (*(-n for n in each.risk), -each.created_at))


async def lines_for(visit: Visit, inbox: Inbox) -> list[Line]:
    """The open requests that somebody may see: an approver those they may answer."""
    now = visit.parts.clock()
    lines = [each for each in await inbox.open_lines() if each.expires_at > now]
    if visit.role != "approver":
        return lines
    approver = await approver_of(visit)
    return [] if approver is None else theirs(lines, approver)


def theirs(lines: Iterable[Line], approver: Approver) -> list[Line]:
    """Those that somebody may answer; what says so is the same for many, and asked once."""
    known: dict[tuple[object, ...], bool] = {}
    found = []
    for line in lines:
        call = line.call
        key = (
            call.terms.approvers,
            call.terms.separation_of_duties,
            call.subject,
            call.on_behalf_of,
        )
        if key not in known:
            known[key] = may_answer(call, approver)
        if known[key]:
            found.append(line)
    return found


def order_of(visit: Visit) -> Order:
    """What the query says of the order."""
    match visit.asked("order"):
        case "newest":
            return "newest"
        case "closing":
            return "closing"
        case _:
            return "risk"


async def show(visit: Visit, inbox: Inbox) -> Response:
    """The page."""
    if visit.asked("answered"):
        return await _answered(visit)
    order = order_of(visit)
    lines = ordered(await lines_for(visit, inbox), order)
    at = min(visit.number("page") or 1, MAX_PAGE)
    part = lines[(at - 1) * PAGE : at * PAGE]
    pages = max(1, -(-len(lines) // PAGE))
    path = f"{visit.parts.prefix}/inbox?order={order}&page="
    turn = {
        "before": f"{path}{at - 1}" if at > 1 else "",
        "after": f"{path}{at + 1}" if at < pages else "",
        "words": f"page {at} of {pages}",
    }
    return _page(visit, part, total=len(lines), order=order, turn=turn, answered=False)


async def _answered(visit: Visit) -> Response:
    """Requests that were decided, the last first."""
    before = visit.number("before")
    approver = await approver_of(visit)
    found = await visit.parts.broker.parts.approvals.decided(before=before, limit=PAGE + 1)
    part = [
        Line.of(each)
        for _, each in found[:PAGE]
        if visit.role != "approver" or (approver and may_answer(each.call, approver))
    ]
    more = len(found) > PAGE
    path = f"{visit.parts.prefix}/inbox?answered=1"
    turn = {
        "before": path if before is not None else "",
        "after": f"{path}&before={found[PAGE - 1][0]}" if more else "",
        "words": "newest first",
    }
    return _page(visit, part, total="", order="", turn=turn, answered=True)


def _page(
    visit: Visit,
    lines: list[Line],
    *,
    total: object,
    order: str,
    turn: dict[str, str],
    answered: bool,
) -> Response:
    now, name = visit.parts.clock(), visit.who.name
    shown = [
        Shown(each, name in each.answered, time_left(each.expires_at - now)) for each in lines
    ]
    return visit.page(
        "inbox.html",
        found={"lines": shown, "total": total},
        order=order,
        turn=turn,
        answered=answered,
        here=visit.here,
    )


def _lines_of(asked: Iterable[AccessRequest]) -> dict[str, Line]:
    return {each.id: Line.of(each) for each in asked}


def tone(impact: str) -> str:
    """How an impact is marked."""
    return {"low": "calm", "medium": "calm", "critical": "bad"}.get(impact, "mind")


def _rank(word: str, words: tuple[str, ...]) -> int:
    return words.index(word) if word in words else len(words)


def _first_arguments(arguments: tuple[Argument, ...]) -> str:
    """Where nothing is marked: what the first arguments are."""
    shown = [f"{visible(each.name[:40])} {_short(each.value)}" for each in arguments[:4]]
    return ", ".join([*shown, *(["…"] if len(arguments) > 4 else [])])


def _short(value: JsonValue) -> str:
    if isinstance(value, str) and len(value) > _VALUE:
        return f"{literal(value[:_VALUE])[:-1]}…"
    text = literal(value) if not isinstance(value, list | dict) else "…"
    return text if len(text) <= _VALUE * 2 else "…"
