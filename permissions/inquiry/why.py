"""Why a call was let through or not: rules with the values they compared, people, plan, outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from permissions.inquiry.contents import Closed, shown

if TYPE_CHECKING:
    from permissions.inquiry.call_record import CallRecord, Question
    from permissions.inquiry.contents import Contents
    from permissions.model import JsonObject
    from permissions.trace.reader import RecordedEntry

_FROM = ("origin", "source", "trusted", "control", "linked", "from", "carries")


def why(call: CallRecord, *, started: RecordedEntry | None, in_force: JsonObject) -> JsonObject:
    """The whole answer, as JSON.

    Args:
        call: the call.
        started: the `run.start` of its run, that says who asked for whom.
        in_force: `policy` and `engine` of the last `config` before it.
    """
    return {
        **call.summary(),
        "subject": None if started is None else started.body.get("subject"),
        "plan": _plan(call),
        "decisions": [_decision(call.contents, each, in_force) for each in call.questions],
        "provenance": {
            pointer: {name: leaf.get(name) for name in _FROM}
            for pointer, leaf in call.provenance.items()
        },
        "requests": [_request(call, each) for each in call.entries if each.type == "request"],
        "start": None if call.start is None else dict(call.start.body),
        "effects": [
            {"entry": each.index, **each.body} for each in call.entries if each.type == "effect"
        ],
        "ended": None if call.last is None else _ended(call.contents, call.last),
        "entries": [each.index for each in call.entries],
    }


def _plan(call: CallRecord) -> JsonObject | None:
    asked = call.question
    plan = None if isinstance(asked, Closed) else asked["context"].get("plan")
    if plan is None:
        return None
    return {name: plan.get(name) for name in ("id", "step", "verdict", "detail", "approval")}


def _decision(contents: Contents, asked: Question, in_force: JsonObject) -> JsonObject:
    body, entry = asked.entry.body, asked.entry
    answer = contents.json(entry, "response")
    reasons: Any = [{"code": code} for code in body.get("reasons", ())]
    obligations: Any = [{"type": kind} for kind in body.get("obligations", ())]
    terms = None
    if not isinstance(answer, Closed):
        context = answer["context"]
        reasons, obligations = context["reasons"], context["obligations"]
        terms = context["access_request"]
    permitted = body.get("permitted", False)
    return {
        "entry": entry.index,
        "action": asked.action,
        "verdict": "allow" if permitted else "ask" if body.get("requestable") else "deny",
        "revision": body.get("revision", in_force.get("policy")),
        "engine": body.get("engine", in_force.get("engine")),
        "rules": body.get("rules", []),
        "reasons": reasons,
        "obligations": obligations,
        "access_request": terms,
        "answer": "opened" if not isinstance(answer, Closed) else answer.document(),
    }


def _request(call: CallRecord, entry: RecordedEntry) -> JsonObject:
    """A question to people: what they saw, and what each of them said."""
    name = entry.body.get("request")
    after = [each for each in call.entries if each.index > entry.index]
    approved = [
        each for each in after if each.type == "approval" and each.body.get("request") == name
    ]
    answers = [
        vote
        for each in after
        if each.type in ("approval", "denied") or each.body.get("kind") == "fate"
        for vote in call.contents.votes(each)
        if vote.get("request", name) == name
    ]
    used = [
        each.index
        for each in after
        if each.type in ("start", "effect") and each.body.get("request") == name
    ]
    return {
        "entry": entry.index,
        "time": entry.time,
        "request": name,
        "approvers": entry.body.get("approvers", []),
        "quorum": entry.body.get("quorum"),
        "expires_at": entry.body.get("expires_at"),
        "shown": shown(call.contents.json(entry, "shown")),
        "answers": answers,
        "approved": [
            {"entry": each.index, "approvers": each.body.get("approvers", [])}
            for each in approved
        ],
        "used_by": used[0] if used else None,
    }


def _ended(contents: Contents, entry: RecordedEntry) -> JsonObject:
    found: JsonObject = {"entry": entry.index, "time": entry.time, "type": entry.type}
    found.update(entry.body)
    for name in ("result", "error", "stdout", "stderr", "operator"):
        if name in entry.digests:
            found[name] = shown(contents.text(entry, name))
    return found
