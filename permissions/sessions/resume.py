"""Going on with a run: what an earlier session of it remembered, rebuilt from the trace.

A process that waits for a person may end, and another one go on with the run. Its plan must
not start anew, its labels not be forgotten, and untrusted values stay untrusted. All of it follows from what was recorded. What cannot be read back counts against
the run: an output without its content taints, a call without an end has used its step up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from permissions.errors import PlanError, RunOpenError
from permissions.plan.cursor import Match, PlanCursor
from permissions.plan.model import parse_plan
from permissions.plan.verifier import verify_plan
from permissions.run.delegation import parse_delegation
from permissions.run.origins import Output
from permissions.run.readable import UNREADABLE
from permissions.run.state import ANY, UNTRUSTED
from permissions.signing.canonical import digest
from permissions.tools.trusted_fields import NO_FIELDS
from permissions.trace.entry import PastEntry
from permissions.trace.patch import patched

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from permissions.broker.ports import BrokerParts
    from permissions.model import JsonObject, JsonValue
    from permissions.run.state import RunState
    from permissions.trace.entry import TraceEntry


def restore(
    session: RunState, history: Mapping[str, Iterable[TraceEntry]], parts: BrokerParts
) -> bool:
    """Rebuilds a session's memory; says whether there was anything to rebuild.

    Args:
        session: the run's, newly made.
        history: what is recorded of it, and of the runs it sent, by run.
        parts: the broker's.

    Raises:
        RunOpenError: the run belongs to another subject.
        PlanError: the run's plan no longer holds (a tool changed, it expired); the run cannot
            go on under it.
    """
    known: dict[str, dict[str, TraceEntry]] = {}
    found = False
    for entry in history.get(session.run, ()):
        found = True
        if entry.call is None:
            _restore_of_run(session, entry, history, parts)
            continue
        call = known.setdefault(entry.call, {})
        _note(call, entry)
        if entry.type == "start":
            session.count_call()
            _restore_begin(session, entry.call, call["intent"], entry)
            if entry.body.get("enforced", {}).get("stateful") is True:
                session.lost.add(call["intent"].body["tool"])
            _restore_begun(session, call)
            _restore_use(session, entry.call, call)
        elif entry.body.get("fate") == "committed" and not entry.body.get("request"):
            session.add_unseen(dict(call["changes"].body))
        elif "approval.denied" in entry.body.get("codes", ()):
            about = _changes_digest(call) or _args_digest(call["intent"])
            session.refused.add((call["intent"].body["tool_digest"], about))
        elif entry.type in {"outcome", "gap"} and "start" in call:
            _restore_ending(session, entry.call, call, entry, parts)
            del known[entry.call]
    return found


def _restore_of_run(
    session: RunState,
    entry: TraceEntry,
    history: Mapping[str, Iterable[TraceEntry]],
    parts: BrokerParts,
) -> None:
    if entry.type == "run.start":
        _restore_start(session, entry)
    elif entry.type == "plan" and entry.body.get("accepted"):
        _restore_plan(session, entry, parts)
    elif entry.type == "delegation":
        _restore_delegate(session, entry, history, parts)


def _note(call: dict[str, TraceEntry], entry: TraceEntry) -> None:
    if "input" in entry.contents:
        call["asked first"] = entry
    if entry.body.get("kind") == "changes":
        call["changes"] = entry
    if entry.type != "decision" or "start" not in call:  # later: what the run did
        call[entry.type] = entry


def _restore_start(session: RunState, entry: TraceEntry) -> None:
    """What a run is bound to stays bound: its subject, its limits, its need of a plan."""
    if entry.body["subject"] != session.subject.document():
        raise RunOpenError(
            f"run {session.run[:80]!r} belongs to another subject; start a run of its own"
        )
    if not any(limit is not None for limit in session.limits.values()):
        session.limits = dict(entry.body.get("budgets", {}))
    session.plan_required = session.plan_required or entry.body.get("plan_required", False)
    session.labels |= set(entry.body.get("labels", ()))
    session.provenance.add_user_text(entry.contents.get("prompt", b"").decode())


def _restore_delegate(
    session: RunState,
    entry: TraceEntry,
    history: Mapping[str, Iterable[TraceEntry]],
    parts: BrokerParts,
) -> None:
    """What a sub-agent did counts for the run; it may be opened again with what it was given."""
    if (run := entry.body["sent"]) in session.delegates:
        return
    sent = session.send(
        run=run,
        agent=_content(entry, "agent").decode(),
        delegation=parse_delegation(_content(entry, "delegation")),
        budgets=session.budgets,
        expires=entry.body.get("expires_at"),
    )
    sent.closed = True
    restore(sent, history, parts)


def _restore_begun(session: RunState, call: dict[str, TraceEntry]) -> None:
    """That a call was started: one with a key by that, any other by the approval it used."""
    asked = call["intent"]
    tool_digest, args_digest = asked.body["tool_digest"], _args_digest(asked)
    if "arguments" in asked.body.get("redacted", ()):
        args_digest = ANY  # nobody knows any more which they were
    if asked.body.get("key") is not None:
        session.started.add((digest(_content(asked, "key")), tool_digest, args_digest))
    elif call["start"].body.get("request") is not None:
        session.turns[tool_digest, args_digest] += 1


def _args_digest(asked: TraceEntry) -> str:
    return digest(_content(asked, "arguments"))


def _changes_digest(call: dict[str, TraceEntry]) -> str | None:
    if (held := call.get("changes")) is None:
        return None
    return str(orjson.loads(_content(held, "changes"))["digest"])


def _content(entry: TraceEntry, name: str) -> bytes:
    """A content without which nobody can tell what the run has done already."""
    if name not in entry.contents:
        raise RunOpenError(
            f"{name} of call {entry.call} were removed from the record, so run"
            f" {entry.run[:80]!r} cannot go on; start a new run"
        )
    return entry.contents[name]


def _restore_plan(session: RunState, entry: TraceEntry, parts: BrokerParts) -> None:
    plan = parse_plan(entry.contents["plan"])
    tools = {tool.name: tool for tool in parts.registry}
    verdict = verify_plan(plan, tools, now=parts.clock())
    if not verdict.accepted:
        codes = ", ".join(sorted({problem.code for problem in verdict.problems}))
        raise PlanError(
            f"the plan of run {session.run} no longer holds: {codes}; start a new run"
        )
    session.cursor = (
        PlanCursor.start(plan, tools, verdict)
        if session.cursor is None
        else session.cursor.amended(plan, tools, verdict)
    )
    session.provenance.add_plan(plan.id, plan.pinned_values())


def _restore_use(session: RunState, name: str, call: dict[str, TraceEntry]) -> None:
    plan = _asked(call)["plan"] or {}
    if plan.get("verdict") is not None:
        match = Match(plan["verdict"], plan["step"], scope_read=plan["scope_read"])
        approved = call["start"].body.get("request") is not None
        session.reserve_step(name, match, approved=approved)
    if (question := _question(call)) is not None:
        session.take_amounts(question, approved=True)


def _restore_begin(session: RunState, name: str, intent: TraceEntry, start: TraceEntry) -> None:
    time = start.time if isinstance(start, PastEntry) else 0
    tool, effect = intent.body["tool"], intent.body["effect"]
    session.history.begin(name, tool=tool, effect=effect, time=time)


def _restore_ending(
    session: RunState,
    name: str,
    call: dict[str, TraceEntry],
    end: TraceEntry,
    parts: BrokerParts,
) -> None:
    tool = call["intent"].body["tool"]
    definition = parts.registry.find(tool)
    status = end.body.get("status", "unknown")
    session.labels |= set(end.body.get("labels", ()))
    effect = call["intent"].body["effect"]
    session.history.end(name, status)
    value = orjson.loads(end.contents["result"]) if "result" in end.contents else None
    trusted = definition is not None and definition.output == "trusted"
    if not (trusted and effect == "read" and "result" in end.contents):
        session.labels.add(UNTRUSTED)
    readable, whole = _restore_readable(status, end)
    session.provenance.add_output(
        tool,
        readable,
        whole=whole,
        trusted=trusted and status == "ok",
        effect=effect,
        arguments=orjson.loads(call["intent"].contents.get("arguments", b"{}")),
        provenance=_asked(call)["provenance"],
        result=value if status == "ok" else None,
        fields=NO_FIELDS if definition is None else definition.trusted_fields,
        output=Output(name, end.index if isinstance(end, PastEntry) else None),
    )
    given = orjson.loads(call["intent"].contents.get("arguments", b"{}"))
    if definition is not None:
        index = end.index if isinstance(end, PastEntry) else None
        session.learn_facts(definition, given, value, status, Output(name, index))
        session.note_confirmation(definition, status)
    request = call["start"].body.get("request")
    if request is not None and definition is not None:
        session.provenance.add_approved(request, given, definition.control)
    if session.cursor is not None and name in session.cursor.in_flight:
        done = status == "ok" and "result" in end.contents
        session.cursor = (
            session.cursor.complete(name, value) if done else session.cursor.fail(name)
        )


def _restore_readable(status: str, end: TraceEntry) -> tuple[JsonValue, bool]:
    """What could be read out of a result, and whether that is all; what is gone hides more."""
    contents = end.contents
    error = contents.get("error", b"").decode(errors="replace")
    if "readable" in contents:
        raw = contents["readable"]
        return [orjson.loads(raw), error], UNREADABLE.encode() not in raw
    if "result" in contents:
        return orjson.loads(contents["result"]), True
    return error, status != "ok" and not (status == "error" and not error)


def _asked(call: dict[str, TraceEntry]) -> JsonObject:
    """The context policies were asked with, just before the call ran."""
    question = _question(call)
    context: JsonObject = (
        {"plan": None, "provenance": {}} if question is None else question["context"]
    )
    return context


def _question(call: dict[str, TraceEntry]) -> JsonObject | None:
    """What policies were asked, as far as the trace still holds it."""
    decision, first = call.get("decision"), call.get("asked first")
    if decision is None or first is None:
        return None
    question: JsonObject = orjson.loads(first.contents["input"])
    if "input_patch" in decision.contents:
        return patched(question, orjson.loads(decision.contents["input_patch"]))
    return question if decision is first else None
