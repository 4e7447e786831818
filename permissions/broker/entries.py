"""What the broker writes down at each step, as entries of the trace. Pure.

Bodies hold plain facts the broker itself knows; anything a caller, a tool or a person wrote
goes into `contents`, which are sealed, or into `links`, of which the log keeps a keyed tag
(docs/reference/trace-format.md). It is longer than others so that all that is ever written down
can be read at once, beside the format's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from permissions.errors import PolicyLoadError
from permissions.run.found_values import MAX_TOLD, labels_of
from permissions.signing import dsse
from permissions.signing.canonical import digest
from permissions.trace.entry import TraceEntry
from permissions.trace.patch import difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.approval.approvers import Approver
    from permissions.approval.grant import Granted
    from permissions.approval.model import AccessRequest, Approval, Vote
    from permissions.approval.resolution import Resolution
    from permissions.broker.call import Admission, Attempt
    from permissions.broker.ports import BrokerParts
    from permissions.detection.finding import Finding
    from permissions.errors import BrokerError
    from permissions.execution.base import Outcome
    from permissions.execution.pending_changes import Changes
    from permissions.model import (
        Decision,
        Denial,
        JsonObject,
        Reason,
    )
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.plan.model import Plan
    from permissions.plan.verdict import PlanVerdict
    from permissions.run.delegation import Delegation
    from permissions.run.state import RunState
    from permissions.stops.statement import Resumption, Stop
    from permissions.tools.definition import ToolDefinition
    from permissions.tools.registry import ToolRegistry

Fate: TypeAlias = Literal["committed", "discarded", "conflict", "failed", "in_doubt"]
"""What became of a change set. `conflict` and `failed` discard it as well: because of what others
changed, or on the way into the workspace. `in_doubt` is what nobody could find out."""

LISTED = 100
"""Calls that a body names; all of them stand in its content."""
CONTENT_LIMIT = 4 * 1024 * 1024
"""Bytes of one content that are kept; of a longer one only digest and size are."""


def json_bytes(value: Any) -> bytes:
    """A value as JSON bytes with sorted keys, for a commitment to exactly these bytes.

    Raises:
        TypeError: the value is not JSON (orjson's error is a TypeError).
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _raw(arguments: Any) -> bytes:
    """Arguments that were refused, for the responder to see; best effort, never an error."""
    try:
        given = dict(arguments) if isinstance(arguments, Mapping) else arguments
        return orjson.dumps(given, default=lambda value: f"<{type(value).__name__}>")
    except (TypeError, ValueError, RecursionError):
        return b'"not JSON"'


def error_text(err: BaseException) -> str:
    """What an exception of a tool says; some cannot even be turned into text."""
    try:
        return str(err)
    except Exception:  # noqa: BLE001 - the tool's own code
        return "(no text)"


def policies(parts: BrokerParts, *, before: str, by: str) -> TraceEntry:
    """Other policies are in force from here on: which, instead of which, by whose word."""
    return TraceEntry("config", "", body={**_in_force(parts), "before": before, "by": by})


def people(
    parts: BrokerParts, *, approvers: Sequence[str], clients: Sequence[str], by: str
) -> TraceEntry:
    """Others may approve and connect from here on: who, by name, by whose word."""
    who = {"approvers": [*approvers], "clients": [*clients]}
    return TraceEntry("config", "", body={**_in_force(parts), **who, "by": by})


def policies_refused(parts: BrokerParts, err: BrokerError, by: str) -> TraceEntry:
    """Others should have come into force and must not, so that those before stay."""
    findings = err.findings if isinstance(err, PolicyLoadError) else ()
    codes = {finding.split(": ")[1] for finding in findings if ": " in finding}
    refused = sorted(codes) or [type(err).__name__]
    return TraceEntry("config", "", body={**_in_force(parts), "refused": refused, "by": by})


@cache
def _build() -> str:
    """Asked once: it reads the disk, and is asked for on an event loop."""
    return version("wardline")


def in_force(pdp: PolicyDecisionPoint, registry: ToolRegistry, environment: str) -> JsonObject:
    """What decisions are made under, the body of a `config` entry."""
    return {
        "build": _build(),
        "policy": pdp.revision,
        "engine": pdp.engine,
        "registry": registry.digest,
        "environment": environment,
    }


def _in_force(parts: BrokerParts) -> JsonObject:
    return in_force(parts.pdp, parts.registry, parts.environment)


def stopped(stop: Stop, running: Sequence[JsonObject]) -> TraceEntry:
    """A person stopped something; what was running by then follows in `stop_ended`."""
    return TraceEntry(
        "stop",
        "",
        body={
            "phase": "begun",
            "stop": stop.id,
            "scope": stop.scope.kind,
            "name": stop.scope.name,
            "by": stop.by,
            "running": len(running),
        },
        contents={"statement": stop.envelope.encode(), "running": json_bytes(running)},
    )


def stop_ended(stop: Stop, proof: JsonObject) -> TraceEntry:
    """What a stop came to: what ended when, and what could not be stopped."""
    counted = ("running", "ended", "not_stopped", "requests", "approvals", "grants")
    return TraceEntry(
        "stop",
        "",
        body={
            "phase": "ended",
            "stop": stop.id,
            **{name: len(proof[name]) for name in counted},
            "running_on": [each["call"] for each in proof["not_stopped"]][:LISTED],
        },
        contents={"proof": json_bytes(proof)},
    )


def resumed(said: Resumption) -> TraceEntry:
    """A stop was lifted; the signed answers of those who agreed are kept whole."""
    agreed = said.agreement
    contents = {"statement": said.envelope.encode()}
    if agreed is not None:
        contents["shown"] = agreed.shown.encode()
        contents |= {f"envelope_{at}": vote.encode() for at, vote in enumerate(agreed.votes)}
    return TraceEntry(
        "resume",
        "",
        body={
            "stop": said.lifts,
            "by": said.by,
            "signed": said.is_signed,
            "request": None if agreed is None else agreed.request,
        },
        contents=contents,
    )


def run_start(
    session: RunState, *, prompt: str = "", task: str = "", resumed: bool
) -> TraceEntry:
    """A session of the run began: who, on whose behalf, asked for what, with which limits.

    A sub-agent's has no prompt of a person: `task` is what the agent that sent it said.
    """
    contents = {"prompt": prompt, "task": task}
    return TraceEntry(
        "run.start",
        session.run,
        body={
            "resumed": resumed,
            "labels": sorted(session.labels),
            "subject": session.subject.document(),
            "budgets": dict(session.limits),
            "workspace": str(session.workspace),
            "plan_required": session.plan_required,
        },
        contents={
            **{
                name: text.encode(errors="backslashreplace")
                for name, text in contents.items()
                if text
            },
            **(
                {} if session.delegation is None else {"delegation": session.delegation.payload}
            ),
        },
    )


def delegation(session: RunState, sent: RunState, given: Delegation) -> TraceEntry:
    """The run sent a sub-agent: which, with what."""
    return TraceEntry(
        "delegation",
        session.run,
        body={"sent": sent.run, "tools": given.names(), "expires_at": sent.expires},
        contents={"delegation": given.payload, "agent": sent.subject.id.encode()},
    )


def run_end(session: RunState, status: str) -> TraceEntry:
    """The run ended: `complete`, or `failed` when the program left it by an exception."""
    return TraceEntry("run.end", session.run, body={"status": status, "calls": session.calls})


def plan(
    session: RunState, declared: Plan, verdict: PlanVerdict, *, accepted: bool
) -> TraceEntry:
    """A plan was declared, and what its verification came to."""
    return TraceEntry(
        "plan",
        session.run,
        body={
            "accepted": accepted,
            "steps": len(declared.steps),
            "codes": sorted({problem.code for problem in verdict.problems}),
            "approvals_needed": list(verdict.approvals_needed),
        },
        contents={"plan": declared.payload()},
        links={"plan": declared.payload()},
    )


def intent(
    attempt: Attempt, definition: ToolDefinition | None = None, canonical: bytes | None = None
) -> TraceEntry:
    """Somebody asked for a call, as far as it was understood.

    The name of an unknown tool is somebody's text: it is sealed with the contents.
    """
    call = attempt.call
    known: JsonObject = dict.fromkeys(("tool", "tool_digest", "effect", "impact", "injected"))
    asked = canonical or _raw(call.arguments)
    contents = {"arguments": asked if len(asked) <= CONTENT_LIMIT else b'"too large"'}
    links = {} if canonical is None else {"args": canonical}
    if call.key is not None:
        contents["key"] = links["key"] = call.key.encode(errors="surrogatepass")
    if definition is None:
        contents["tool"] = call.tool.encode(errors="backslashreplace")[:1024]
    else:
        known = {
            "tool": definition.name,
            "tool_digest": definition.digest,
            "effect": definition.effect,
            "impact": definition.impact,
            "injected": sorted(definition.injected),
        }
    return TraceEntry(
        "intent",
        attempt.session.run,
        attempt.id,
        {
            **known,
            "caller": call.caller,
        },
        contents,
        links,
    )


def question(attempt: Attempt, document: JsonObject) -> TraceEntry:
    """What a call's first `decision` says of what was asked, before there is an answer."""
    asked = {"input": json_bytes(document)}
    return TraceEntry("decision", attempt.session.run, attempt.id, contents=asked)


def decision(
    attempt: Attempt,
    decided: Decision,
    document: JsonObject,
    *,
    revision: str,
    engine: str,
    connection: int | None = None,
    ahead: TraceEntry | None = None,
) -> TraceEntry:
    """The decision point answered, with everything needed to decide the same again.

    The first input of a call is kept whole, of each later one what is other.

    Args:
        attempt: whose call it is.
        decided: the answer.
        document: what was asked.
        revision: of the policies.
        engine: which evaluated them.
        connection: its number within the call, when it was asked about one.
        ahead: the first `question` of the call, as it was sealed while the answer was awaited.
    """
    if attempt.asked is None:
        attempt.asked = document
        coming = ahead or question(attempt, document)
        asked, sealed = coming.contents, coming.ahead
    else:
        sealed = {}
        asked = {"input_patch": json_bytes(difference(attempt.asked, document))}
    return TraceEntry(
        "decision",
        attempt.session.run,
        attempt.id,
        {
            "action": document["action"]["name"],
            "connection": connection,
            "revision": revision,
            "engine": engine,
            "permitted": decided.permitted,
            "requestable": decided.access_request is not None,
            "rules": list(decided.rules),
            "reasons": [reason.code for reason in decided.reasons],
            "obligations": [obligation.type for obligation in decided.obligations],
            "shadow": _shadow(decided),
        },
        {**asked, "response": json_bytes(decided.response), **_would(decided)},
        ahead=sealed,
    )


def _shadow(decided: Decision) -> JsonObject | None:
    """What packages in the shadow would have changed; None when it is nothing."""
    would = decided.shadow
    if would is None or (would.verdict == decided.verdict and not would.codes):
        return None
    return {"verdict": would.verdict, "codes": list(would.codes)}


def _would(decided: Decision) -> dict[str, bytes]:
    if _shadow(decided) is None or decided.shadow is None or decided.shadow.response is None:
        return {}
    return {"shadow": json_bytes(decided.shadow.response)}


def request(attempt: Attempt, asked: AccessRequest) -> TraceEntry:
    """A person is asked; the text they answer is kept, so that others can check the answer."""
    shown = asked.shown.encode()
    return TraceEntry(
        "request",
        attempt.session.run,
        attempt.id,
        {
            "request": asked.id,
            "approvers": list(asked.call.terms.approvers),
            "quorum": asked.call.terms.quorum,
            "expires_at": asked.expires_at,
        },
        {"shown": shown} if len(shown) <= CONTENT_LIMIT else {},
    )


def approval(attempt: Attempt, proven: Approval, votes: Sequence[Vote]) -> TraceEntry:
    """People agreed; their signed statements are kept whole, with who was let answer."""
    return TraceEntry(
        "approval",
        attempt.session.run,
        attempt.id,
        {
            "request": proven.id,
            "approvers": list(proven.approvers),
            "approved_until": proven.approved_until,
        },
        {**_envelopes(votes), "voters": json_bytes(list(proven.voters))},
    )


def resolution(attempt: Attempt, found: Resolution, approver: Approver) -> TraceEntry:
    """A person said what became of an earlier run of this call that was in doubt."""
    envelope = found.envelope.encode()
    key = dsse.signed_by(dsse.Envelope.parse(envelope), approver.keys)
    voter = {"approver": approver.id, "groups": sorted(approver.groups), "key": str(key)}
    return TraceEntry(
        "resolution",
        attempt.session.run,
        attempt.id,
        {"of": found.about.call, "found": found.found, "approver": found.approver},
        {"envelope_0": envelope, "voters": json_bytes([voter])},
    )


def grant(attempt: Attempt, granted: Granted, use: int) -> TraceEntry:
    """A remembered approval lets the call run, in the stead of a person who is asked."""
    envelope = granted.envelope.encode()
    key = dsse.signed_by(dsse.Envelope.parse(envelope), granted.approver.keys)
    groups = sorted(granted.approver.groups)
    voter = {"approver": granted.approver.id, "groups": groups, "key": str(key)}
    return TraceEntry(
        "grant",
        attempt.session.run,
        attempt.id,
        {"grant": granted.id, "approver": granted.approver.id, "use": use},
        {"envelope_0": envelope, "voters": json_bytes([voter])},
    )


def _envelopes(votes: Sequence[Vote]) -> dict[str, bytes]:
    return {f"envelope_{at}": vote.envelope.encode() for at, vote in enumerate(votes)}


def _answers(votes: Sequence[Vote]) -> list[JsonObject]:
    """What people answered."""
    return [
        {"request": vote.request, "approver": vote.approver, "verdict": vote.verdict}
        for vote in votes
    ]


def denied(attempt: Attempt, denial: Denial, votes: Sequence[Vote] = ()) -> TraceEntry:
    """The call ended without running. The operator's words may name values: sealed.

    Args:
        votes: what people answered who were asked about it.
    """
    operator = [reason.operator for reason in denial.reasons]
    return TraceEntry(
        "denied",
        attempt.session.run,
        attempt.id,
        {
            "kind": denial.kind,
            "codes": [reason.code for reason in denial.reasons],
            "answers": _answers(votes),
        },
        {
            **({"operator": json_bytes(operator)} if any(operator) else {}),
            **_envelopes(votes),
        },
    )


def start(admission: Admission) -> TraceEntry:
    """The call is about to run, under these terms."""
    terms, match = admission.terms, admission.question.match
    return TraceEntry(
        "start",
        admission.session.run,
        admission.id,
        {
            "isolation": terms.isolation,
            "profile": terms.profile,
            "evidence": terms.evidence,
            "enforced": admission.enforced,
            "request": admission.request,
            "step": None if match is None else match.step,
        },
        links={"args": admission.question.canonical},
    )


def gap(admission: Admission) -> TraceEntry:
    """The call was started, and nobody can tell how it ended."""
    return TraceEntry(
        "gap",
        admission.session.run,
        admission.id,
        {"reason": "outcome_unknown", "last": "start"},
    )


def effects(admission: Admission, ended: Outcome) -> list[TraceEntry]:
    """What the executor saw the run do, each an entry."""
    run = admission.session.run
    return [
        TraceEntry("effect", run, admission.id, effect.body, effect.contents)
        for effect in ended.effects
    ]


def changes(admission: Admission, found: Changes) -> TraceEntry:
    """What the run would change in its workspace. Paths and diffs are the tool's words: sealed."""
    document = found.document
    counted = ("created", "changed", "deleted", "bytes")
    listed = ("protected", "refused", "conflicts")
    diffs = "\n".join(text for _, text in sorted(found.diffs.items()))
    return TraceEntry(
        "effect",
        admission.session.run,
        admission.id,
        {
            "kind": "changes",
            **{name: document[name] for name in counted},
            **{name: len(document[name]) for name in listed},
            "listed": found.is_listed,
        },
        {"changes": json_bytes(document), **({"diff": diffs.encode()} if diffs else {})},
        {"change_set": found.digest.encode()},
    )


def fate(
    admission: Admission,
    found: Changes,
    became: Fate,
    *,
    reasons: Sequence[Reason] = (),
    request: str | None = None,
    votes: Sequence[Vote] = (),
) -> TraceEntry:
    """What became of the changes, and by whose word.

    Args:
        admission: the call.
        found: its changes.
        became: how they ended.
        reasons: why they were not committed.
        request: id of the access request whose approval the commit used up.
        votes: what people answered who were asked and did not let it through.
    """
    operator = [reason.operator for reason in reasons]
    return TraceEntry(
        "effect",
        admission.session.run,
        admission.id,
        {
            "kind": "fate",
            "fate": became,
            "codes": [reason.code for reason in reasons],
            "request": request,
            "answers": _answers(votes),
        },
        {
            **({"operator": json_bytes(operator)} if any(operator) else {}),
            **_envelopes(votes),
        },
        {"change_set": found.digest.encode()},
    )


def outcome(
    admission: Admission,
    ended: Outcome,
    *,
    result: bytes | None,
    readable: bytes | None,
    withheld: bool,
    found: Mapping[str, tuple[Finding, ...]],
    duration_us: int,
) -> TraceEntry:
    """The call ended, as its supervisor saw it.

    Args:
        admission: the call.
        ended: how it ended.
        result: as JSON.
        readable: all that can be read out of it, when that is more.
        withheld: whether it was not handed out.
        found: what detectors found in it.
        duration_us: from its start.
    """
    contents = {name: data for name, data in ended.streams.items() if data}
    if result is not None:
        contents["result"] = result
    if readable is not None:
        contents["readable"] = readable
    if ended.error is not None:
        contents["error"] = error_text(ended.error).encode(errors="backslashreplace")
    if found:
        told = {
            name: [each.document() for each in some[:MAX_TOLD]] for name, some in found.items()
        }
        contents["detected"] = json_bytes(told)
    oversize = {
        name: {"digest": digest(data), "bytes": len(data)}
        for name, data in contents.items()
        if len(data) > CONTENT_LIMIT
    }
    if oversize:
        contents["oversize"] = json_bytes(oversize)
    return TraceEntry(
        "outcome",
        admission.session.run,
        admission.id,
        {
            "status": ended.status,
            "verdict": ended.verdict,
            "detail": ended.detail[:200],
            "duration_us": duration_us,
            "withheld": withheld,
            "labels": sorted(admission.terms.labels | labels_of(found)),
            "detected": {name: len(some) for name, some in found.items()},
            "enforced": ended.enforced,
            "oversize": sorted(oversize),
        },
        {name: data for name, data in contents.items() if name not in oversize},
    )
