"""The page of one request: all that somebody needs to answer it, on one screen.

Nobody approves what they were not shown: with parts left out the page has no button to approve,
but one that shows the whole.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import anyio.to_thread
import orjson

from permissions.approval import lifecycle
from permissions.approval.reading import reading
from permissions.approval.stages import turn
from permissions.approval.text import cautions, plain, time_left, visible
from permissions.console import shown_text
from permissions.console.inbox import lines_for, order_of, ordered, tone
from permissions.console.offer import offer
from permissions.console.people import approver_of, may_answer
from permissions.console.roles import may
from permissions.errors import ApprovalError, ApproverRefusedError, TraceError
from permissions.inquiry.unusual import DAYS, unusual

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup
    from starlette.responses import Response

    from permissions.approval.approvers import Approver
    from permissions.approval.model import AccessRequest
    from permissions.approval.passkeys import Site
    from permissions.approval.reading import Argument, Change, Origin
    from permissions.console.inbox import Inbox
    from permissions.console.record import Record
    from permissions.console.visit import Visit

CHANGES: Final = 40
"""Changed files that are shown until somebody asks for the whole."""
DIFF: Final = 60
"""Lines of one file's difference that are."""
OPEN_CHANGES: Final = 6
LONG: Final = 300
"""From here on a text stands in a block of its own."""
EDITED: Final = 20_000
"""Characters of arguments that are edited in a page."""
BATCH: Final = 20
"""Requests of one run on its page."""


class LeafShown(NamedTuple):
    """One value within an argument."""

    name: str
    html: Markup
    lines: bool
    left_out: int
    cautions: tuple[str, ...]
    origins: tuple[Origin, ...]


class ArgumentShown(NamedTuple):
    """One argument, and what stands behind its values."""

    name: str
    control: bool
    leaves: list[LeafShown]
    more: int
    leads_to: tuple[str, ...]


class ChangeShown(NamedTuple):
    """One changed file; `lines` are pairs of a style and a line, None without a text."""

    path: str
    kind: str
    tone: str
    facts: str
    lines: list[tuple[str, Markup]] | None
    left_out: int
    cautions: tuple[str, ...]
    open: bool


class State(NamedTuple):
    """How a request stands, in words."""

    words: str
    tone: str
    open: bool = False


def state_of(request: AccessRequest, now: int) -> State:
    """How it stands now."""
    match lifecycle.expire(request, now=now).status:
        case "pending":
            waits = turn(request.call.terms, len(request.votes))
            words = "1 answer" if waits.missing == 1 else f"{waits.missing} answers"
            of = f" of {visible(', '.join(waits.stage.approvers))}"
            staged = of if request.call.terms.stages else ""
            return State(f"Waits for {words}{staged}", "mind", open=True)
        case "approved":
            used = ", and used" if request.consumed_at is not None else ""
            return State(f"Approved{used}", "good")
        case "denied":
            return State("Denied", "bad")
        case "edited":
            return State("Edited: the agent is to call it so", "good")
        case "expired":
            return State("Expired: nobody answered in time", "soft")
        case _:
            return State("Withdrawn by who asked", "soft")


def arguments_shown(given: Iterable[Argument], *, whole: bool) -> list[ArgumentShown]:
    """Arguments as they are shown; those that decide what is done come first."""
    ordered_arguments = sorted(given, key=lambda each: not each.control)
    return [_argument(each, whole=whole) for each in ordered_arguments]


def changes_shown(changes: Sequence[Change], *, whole: bool) -> list[ChangeShown]:
    """Changed files as they are shown."""
    part = changes if whole else changes[:CHANGES]
    return [
        _change(each, whole=whole, is_open=at < OPEN_CHANGES) for at, each in enumerate(part)
    ]


def parts_of(request: AccessRequest, record: Record | None, *, whole: bool) -> dict[str, Any]:
    """All the page says of the request itself. Reads the record: blocking.

    The same for whoever looks, so that what is signed and what is shown are one.
    """
    read = reading(request)
    arguments = arguments_shown(read.arguments, whole=whole)
    changes = changes_shown(read.changes, whole=whole)
    more = len(read.changes) - len(changes)
    found, compared = _unusual(request, record)
    cut = bool(more) or any(each.left_out for each in changes)
    for each in arguments:
        cut |= bool(each.more) or any(leaf.left_out for leaf in each.leaves)
    return {
        "read": read,
        "tone": tone(read.impact),
        "arguments": arguments,
        "changes": changes,
        "more_changes": more,
        "unusual": found,
        "compared": compared,
        "cut": cut,
    }


async def show(visit: Visit, inbox: Inbox) -> Response:
    """The page."""
    name = visit.request.path_params["request"]
    request = await open_request(visit, name)
    if request is None:
        return visit.told(
            "There is no such request",
            "It is not there, or it is not yours to answer.",
            status=404,
        )
    whole = visit.asked("whole") == "1"
    said = await anyio.to_thread.run_sync(
        partial(parts_of, request, visit.parts.record, whole=whole)
    )
    now = visit.parts.clock()
    approver = await approver_of(visit)
    return visit.page(
        "request.html",
        **said,
        remember=offer(request, approver),
        editable=editable(request),
        state=state_of(request, now),
        left=time_left(request.expires_at - now),
        hindrance=hindrance(visit, request, approver),
        neighbours=await _neighbours(visit, inbox, request.id),
        sees_runs=may(visit.role, "runs"),
        here=visit.here,
        here_whole=_whole(visit, request.id),
    )


async def of_run(visit: Visit, inbox: Inbox) -> Response:
    """All that one run waits for, on one page: what its plan wants is judged together."""
    run = visit.request.path_params["run"]
    lines = [each for each in await lines_for(visit, inbox) if each.call.run == run]
    part = ordered(lines, "risk")[:BATCH]
    asked = await visit.parts.broker.parts.approvals.several([each.id for each in part])
    by_id = {each.id: each for each in asked}
    now = visit.parts.clock()
    approver = await approver_of(visit)
    shown = []
    for line in part:
        if (request := by_id.get(line.id)) is not None:
            said = await anyio.to_thread.run_sync(
                partial(parts_of, request, visit.parts.record, whole=False)
            )
            shown.append(
                {
                    **said,
                    "editable": "",
                    "state": state_of(request, now),
                    "left": time_left(request.expires_at - now),
                    "hindrance": hindrance(visit, request, approver),
                    "here_whole": _whole(visit, request.id),
                }
            )
    return visit.page(
        "batch.html",
        run=run,
        asked=shown,
        more=len(lines) - len(part),
        together=[
            {
                "id": each["read"].id,
                "shown": each["read"].digests["shown"],
                "tool": each["read"].tool,
            }
            for each in shown
            if not each["hindrance"] and not each["cut"]
        ],
        sees_runs=may(visit.role, "runs"),
        here=visit.here,
    )


def _whole(visit: Visit, request: str) -> str:
    return f"{visit.parts.prefix}/requests/{quote(request, safe='')}?whole=1"


def editable(request: AccessRequest) -> str:
    """The arguments as JSON for somebody to change; empty where that cannot be."""
    if request.call.effects is not None or len(request.call.arguments) > EDITED:
        return ""
    arguments = orjson.loads(request.call.arguments)
    if not isinstance(arguments, dict):
        return ""
    text = orjson.dumps(arguments, option=orjson.OPT_INDENT_2).decode()
    return "\n".join(map(plain, text.split("\n")))


async def open_request(visit: Visit, name: str) -> AccessRequest | None:
    """The request, if this person may see it."""
    try:
        request = await visit.parts.broker.parts.approvals.get(name)
    except ApprovalError:
        return None
    if visit.role != "approver":
        return request
    approver = await approver_of(visit)
    return request if approver is not None and may_answer(request.call, approver) else None


def hindrance(visit: Visit, request: AccessRequest, approver: Approver | None) -> str:
    """Why this person cannot answer it now; empty when they can."""
    if not state_of(request, visit.parts.clock()).open:
        return "It is closed: nobody can answer it any more."
    if not may(visit.role, "vote"):
        return f"You are signed in as {visit.role}: you read, and approvers answer."
    if approver is None:
        return "You are no registered approver any more."
    return _bar(request, approver, visit.parts.site)


def _bar(request: AccessRequest, approver: Approver, site: Site) -> str:
    try:
        lifecycle.require_eligible(request.call, approver)
    except ApproverRefusedError as err:
        return str(err)
    if any(vote.approver == approver.id for vote in request.votes):
        return "You have answered. It waits for others."
    try:
        lifecycle.require_turn(request, approver, len(request.votes))
    except ApproverRefusedError:
        groups = turn(request.call.terms, len(request.votes)).stage.approvers
        return f"It is not your turn yet: {visible(', '.join(groups))} answer first."
    if not any(key.origin == site.origin for key in approver.passkeys):
        return (
            "To answer takes a passkey, and you have none here. Ask the operator to invite you."
        )
    return ""


async def _neighbours(visit: Visit, inbox: Inbox, name: str) -> dict[str, str]:
    lines = ordered(await lines_for(visit, inbox), order_of(visit))
    names = [each.id for each in lines]
    at = names.index(name) if name in names else -1
    return {
        "before": names[at - 1] if at > 0 else "",
        "after": names[at + 1] if at + 1 < len(names) else "",
    }


def _unusual(request: AccessRequest, record: Record | None) -> tuple[list[str], str]:
    """What is unusual, and what it was held against; nothing without a record."""
    if record is None:
        return [], ""
    try:
        habits = record.habits(request.call.tool, request.created_at)
    except TraceError:
        return ["the record cannot be read, so nobody knows what is usual"], ""
    found = unusual(orjson.loads(request.call.targets), habits)
    if not habits.calls:
        return [f"this tool did not run in the last {DAYS} days"], ""
    times = "the one time" if habits.calls == 1 else f"the {habits.calls} times"
    return found, f"{times} this tool ran in the last {DAYS} days"


def _argument(given: Argument, *, whole: bool) -> ArgumentShown:
    every = list(shown_text.leaves(given.value, ""))
    top = "/" + given.name.replace("~", "~0").replace("/", "~1")
    part = every if whole else every[: shown_text.LEAVES]
    pointers = {f"{top}{pointer}" for _, pointer, _ in part}
    leaves = []
    for at, (name, pointer, value) in enumerate(part):
        here = f"{top}{pointer}"
        origins = tuple(
            origin
            for origin in given.origins
            if origin.at == here or (at == 0 and origin.at not in pointers)
        )
        leaves.append(_leaf(name, value, origins, whole=whole))
    return ArgumentShown(
        given.name, given.control, leaves, len(every) - len(part), given.leads_to
    )


def _leaf(name: str, value: Any, origins: tuple[Origin, ...], *, whole: bool) -> LeafShown:
    has_lines = isinstance(value, str) and ("\n" in value or len(value) > LONG)
    shown = (shown_text.block if has_lines else shown_text.value)(value, whole=whole)
    text = value if isinstance(value, str) else ""
    warned = tuple(cautions(text if whole else text[: shown_text.SHOWN]))
    return LeafShown(name, shown.html, has_lines, shown.left_out, warned, origins)


_KINDS = {"created": "good", "deleted": "bad"}


def _change(change: Change, *, whole: bool, is_open: bool) -> ChangeShown:
    entry, diff = change.entry, change.diff
    lines = None
    if diff is not None:
        part = diff if whole else diff[:DIFF]
        lines = [(_style(each), shown_text.marked(each)) for each in part]
    was = entry["was"]
    facts = [entry["type"], *_facts(entry), *(["executable"] if entry["executable"] else [])]
    if was:
        facts.append(f"was {', '.join(_facts(was)) or was['type']}")
    if entry["target"] is not None:
        facts.append(f"leads to {entry['target']}")
    return ChangeShown(
        path=entry["path"],
        kind=entry["kind"],
        tone=_KINDS.get(entry["kind"], "mind"),
        facts=", ".join(facts),
        lines=lines,
        left_out=0 if diff is None or whole else max(0, len(diff) - DIFF),
        cautions=tuple(cautions(f"{entry['path']}{entry['target'] or ''}")),
        open=is_open,
    )


def _facts(entry: Any) -> list[str]:
    found = []
    if entry.get("mode") is not None and entry.get("type") != "link":
        found.append(f"mode {entry['mode']}")
    if entry.get("size") is not None and entry.get("type") == "file":
        found.append(f"{entry['size']:,} bytes")
    return found


def _style(line: str) -> str:
    return {"+": "plus", "-": "minus", "@": "at"}.get(line[:1], "same")
