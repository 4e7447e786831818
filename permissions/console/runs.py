"""What happened: runs, one run as it goes on, one call with why it ended as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio.to_thread

from permissions.approval.text import literal
from permissions.console import shown_text
from permissions.errors import TraceError
from permissions.inquiry.contents import Closed
from permissions.trace.call_filter import CallFilter

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from markupsafe import Markup
    from starlette.responses import Response

    from permissions.console.inbox import Inbox
    from permissions.console.record import Record
    from permissions.console.visit import Visit
    from permissions.inquiry.call_record import CallRecord
    from permissions.model import JsonObject
    from permissions.trace.index import RunSummary

    T = TypeVar("T")

PAGE: Final = 50
CALLS: Final = 100
_WHAT = 200
_TONES = {"ok": "good", "denied": "bad", "pending": "mind", "expired": "bad", "unknown": "bad"}
_WORDS = {"ok": "ran", "pending": "wait for people", None: "under way"}


class End(NamedTuple):
    """How many calls of a run ended in one way."""

    words: str
    tone: str
    many: int


class RunLine(NamedTuple):
    """A run in a list."""

    run: str
    number: int
    agent: str
    behalf: str
    began: int
    live: bool
    state: str
    ends: list[End]
    waiting: int


class CallLine(NamedTuple):
    """A call in a list."""

    call: str
    number: int
    time: int
    tool: str | None
    what: str
    end: str
    tone: str
    rules: list[str]
    approvers: tuple[str, ...]


class ArgumentLine(NamedTuple):
    """One value of a call's arguments."""

    name: str
    html: Markup
    lines: bool
    left_out: int
    origin: str
    trusted: bool
    source: str


def run_line(run: RunSummary, open_runs: set[str]) -> RunLine:
    """A run's line."""
    subject = run.start.body.get("subject") or {}
    behalf = (subject.get("properties") or {}).get("on_behalf_of") or ""
    name = str(run.start.run)
    if run.last.type == "run.end":
        state = str(run.last.body.get("status"))
    else:
        state = "live" if name in open_runs else "left open"
    ends = [
        End(_WORDS.get(end) or str(end), _TONES.get(end or "", ""), count)
        for end, count in sorted(run.ends.items(), key=lambda each: -each[1])
    ]
    return RunLine(
        run=name,
        number=run.start.index,
        agent=str(subject.get("id") or "unknown"),
        behalf=str(behalf).removeprefix("user:"),
        began=run.start.time,
        live=state == "live",
        state=state,
        ends=ends,
        waiting=0,
    )


def call_line(call: CallRecord) -> CallLine:
    """A call's line."""
    arguments = call.arguments
    what = "" if isinstance(arguments, Closed) else literal(arguments)
    if isinstance(arguments, dict):
        what = ", ".join(f"{literal(n)[1:-1]} {literal(v)[:80]}" for n, v in arguments.items())
    rules = [str(rule) for each in call.entries for rule in each.body.get("rules", ())]
    return CallLine(
        call=call.call,
        number=call.index,
        time=call.time,
        tool=call.tool,
        what=what[:_WHAT],
        end=_WORDS.get(call.ended, "under way" if call.ended == "open" else call.ended) or "",
        tone=_TONES.get(call.ended, "" if call.ended == "open" else "bad"),
        rules=list(dict.fromkeys([*rules, *call.reasons])),
        approvers=call.approvers,
    )


async def listed(visit: Visit) -> Response:
    """The list of runs."""
    before = visit.number("before")

    def work(record: Record) -> list[RunSummary]:
        return record.runs(before=before, limit=PAGE + 1)

    found = await _from_record(visit, work) or []
    lines = [run_line(each, visit.parts.broker.open_runs) for each in found[:PAGE]]
    path = f"{visit.parts.prefix}/runs"
    turn = {
        "before": path if before is not None else "",
        "after": f"{path}?before={lines[-1].number}" if len(found) > PAGE else "",
        "words": "newest first",
    }
    return visit.page("runs.html", runs=lines, turn=turn, here=visit.here)


async def one(visit: Visit, inbox: Inbox) -> Response:
    """One run, the last calls first, as it goes on."""
    name, before = visit.request.path_params["run"], visit.number("before")

    def work(record: Record) -> tuple[RunSummary, list[CallLine]] | None:
        run = record.run(name)
        if run is None:
            return None
        wanted = CallFilter(run=name, before=before)
        return run, [call_line(each) for each in record.calls(wanted, CALLS + 1)]

    found = await _from_record(visit, work)
    if found is None:
        return _not_recorded(visit, "run")
    run, calls = found
    waiting = sum(each.call.run == name for each in await inbox.open_lines())
    line = run_line(run, visit.parts.broker.open_runs)._replace(waiting=waiting)
    path = f"{visit.parts.prefix}{visit.request.url.path.removeprefix(visit.parts.prefix)}"
    turn = {
        "before": path if before is not None else "",
        "after": f"{path}?before={calls[CALLS - 1].number}" if len(calls) > CALLS else "",
        "words": "newest first",
    }
    return visit.page("run.html", run=line, calls=calls[:CALLS], turn=turn, here=visit.here)


async def call(visit: Visit) -> Response:
    """One call: rules with the values they compared, people, plan, provenance, outcome."""
    name = visit.request.path_params["call"]
    why = await _from_record(visit, lambda record: _why(record, name))
    if why is None:
        return _not_recorded(visit, "call")
    given = why["arguments"]
    closed = ""
    if isinstance(given, dict) and given.keys() == {"closed"}:
        closed, given = str(given["closed"]), {}
    decisions = [
        {**each, "tone": {"allow": "good", "ask": "mind"}.get(each["verdict"], "bad")}
        for each in why["decisions"]
    ]
    return visit.page(
        "call.html",
        why={**why, "decisions": decisions},
        tone=_TONES.get(why["outcome"], "" if why["outcome"] == "open" else "bad"),
        arguments=[] if closed else _arguments(given, why["provenance"]),
        closed=closed,
        ended=_ended(why["ended"]),
    )


def _why(record: Record, name: str) -> JsonObject | None:
    try:
        return record.why(name)
    except TraceError:
        return None


def _arguments(given: Any, provenance: JsonObject) -> list[ArgumentLine]:
    found = []
    for name, pointer, value in list(shown_text.leaves(given))[: shown_text.LEAVES]:
        has_lines = isinstance(value, str) and "\n" in value
        shown = (shown_text.block if has_lines else shown_text.value)(value)
        leaf = provenance.get(pointer) or {}
        if not (leaf.get("control") or leaf.get("from")):
            leaf = {}
        origin, source = str(leaf.get("origin") or ""), leaf.get("source")
        read = leaf.get("from") or {}
        words = f"{origin} {source}" if source else origin
        if words and read.get("pointer"):
            words += f", field {read['pointer']}"
        found.append(
            ArgumentLine(
                name,
                shown.html,
                has_lines,
                shown.left_out,
                words,
                leaf.get("trusted") is True,
                str(read.get("call") or ""),
            )
        )
    return found


def _ended(ended: JsonObject | None) -> list[tuple[str, Markup, int]]:
    names = ("result", "error", "stdout", "stderr", "operator")
    return [
        (name, *shown_text.block(each if isinstance(each, str) else literal(each)))
        for name in names
        if ended is not None and (each := ended.get(name)) is not None
    ]


async def _from_record(visit: Visit, work: Callable[[Record], T]) -> T | None:
    """Asks the record in a thread; None without one."""
    record = visit.parts.record
    return None if record is None else await anyio.to_thread.run_sync(work, record)


def _not_recorded(visit: Visit, what: str) -> Response:
    return visit.told(f"There is no such {what}", "Nothing is recorded of it.", status=404)
