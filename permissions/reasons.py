"""The broker's own reason codes: what it says when no policy spoke.

Policies have their own codes (first word = their package). Codes that begin with one of the
words below are the broker's, and each is documented in docs/reference/reason-codes.md from this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from permissions.model import Reason

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject


class Code(StrEnum):
    """Each refusal the broker makes by itself, in the order of the flow."""

    TOOL_UNREGISTERED = "tool.unregistered"
    ARGUMENTS_INVALID = "arguments.invalid"
    ARGUMENTS_UNREPRESENTABLE = "arguments.unrepresentable"
    CONTROL_PLANE_PROTECTED = "control_plane.protected"
    SESSION_CLOSED = "session.closed"
    STOPPED = "stop.in_force"
    STOPPED_RUN = "stop.ended_call"
    DELEGATION_EXCEEDED = "delegation.exceeded"
    DELEGATION_EXPIRED = "delegation.expired"
    DELEGATION_REVOKED = "delegation.revoked"
    CALL_CANCELLED = "call.cancelled"
    CALL_IN_DOUBT = "call.in_doubt"
    CALL_RESOLVED = "call.resolved"
    CALL_CHANGED = "call.changed"
    CALL_ONLY_ASKED = "call.only_asked"
    DETECTION_FAILED = "detection.failed"
    DETECTION_LATE = "detection.late"
    PLAN_EXHAUSTED = "plan.use_taken"
    POLICY_UNDEFINED = "policy.undefined"
    POLICY_UNAVAILABLE = "policy.unavailable"
    POLICY_TIMEOUT = "policy.timeout"
    POLICY_ANSWER_INVALID = "policy.answer_invalid"
    APPROVAL_PENDING = "approval.pending"
    APPROVAL_DENIED = "approval.denied"
    APPROVAL_EDITED = "approval.edited"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_USED = "approval.used"
    APPROVAL_INVALID = "approval.invalid"
    APPROVAL_UNAVAILABLE = "approval.unavailable"
    OBLIGATION_UNKNOWN = "obligation.unknown"
    OBLIGATION_FAILED = "obligation.failed"
    BUDGET_EXHAUSTED = "budget.exhausted"
    ISOLATION_UNAVAILABLE = "isolation.unavailable"
    STATE_UNAVAILABLE = "state.unavailable"
    TRACE_UNAVAILABLE = "trace.unavailable"
    EXECUTION_REFUSED = "execution.refused"
    EXECUTION_STATE_LOST = "execution.state_lost"
    EXECUTION_PROVIDER_FAILED = "execution.provider_failed"
    EXECUTION_STOPPED = "execution.stopped"
    EFFECTS_REFUSED = "effects.refused"
    EFFECTS_PROTECTED = "effects.protected"
    EFFECTS_TOO_LARGE = "effects.too_large"
    EFFECTS_TOO_MANY = "effects.too_many"
    EFFECTS_NEED_WAIT = "effects.need_wait"
    EFFECTS_CONFLICT = "effects.conflict"
    EFFECTS_FAILED = "effects.failed"
    EFFECTS_IN_DOUBT = "effects.in_doubt"
    EFFECTS_DISCARDED = "effects.discarded"
    RESULT_NOT_KEPT = "result.not_kept"
    RESULT_WITHHELD = "result.withheld"
    BROKER_UNREACHABLE = "broker.unreachable"
    SERVICE_OVERLOADED = "service.overloaded"
    SERVICE_STOPPING = "service.stopping"
    SERVICE_REVOKED = "service.revoked"
    BROKER_FAULT = "broker.fault"


_AGENT_TEXT: dict[Code, str] = {
    Code.TOOL_UNREGISTERED: "This tool is not registered with the broker, so it cannot be used.",
    Code.ARGUMENTS_INVALID: "The arguments do not fit the tool's schema; correct them.",
    Code.ARGUMENTS_UNREPRESENTABLE: "The arguments hold values that cannot be checked safely"
    " (numbers beyond 64 bits, NaN, broken Unicode, or too much nesting or size).",
    Code.CONTROL_PLANE_PROTECTED: "The call names a file of the broker's own: its state, keys,"
    " settings or policies. No tool reads or changes those, and nobody can approve it.",
    Code.SESSION_CLOSED: "The session of this run has ended; nothing more can be called in it.",
    Code.STOPPED: "A person stopped this run, this agent, this tool or everything. Nothing was run;"
    " do not try again.",
    Code.STOPPED_RUN: "A person stopped this call while it ran. What it did until then stands.",
    Code.DELEGATION_EXCEEDED: "This call is beyond what was given to this agent, or to those who"
    " sent it. Keep to that, or hand the task back.",
    Code.DELEGATION_EXPIRED: "The time for which this agent was sent is over. Hand the task back.",
    Code.DELEGATION_REVOKED: "A person stopped this agent, or one that sent it. Nothing more can"
    " be called.",
    Code.CALL_CANCELLED: "The caller gave up before the call had come to its end.",
    Code.CALL_RESOLVED: "A person found that this call ran. Its result is not known; do not repeat it.",
    Code.CALL_IN_DOUBT: "An identical call was started before and its outcome is unknown. It"
    " is not run again; a person has to look.",
    Code.CALL_ONLY_ASKED: "It was asked whether this may be done, and it may; nothing was run.",
    Code.CALL_CHANGED: "The call that reached the tool is not the call that was decided.",
    Code.DETECTION_FAILED: "The call or its result could not be looked through for what must not"
    " leave: a detector failed, or it is too much. Use smaller texts.",
    Code.DETECTION_LATE: "The call or its result could not be looked through in time. Use smaller"
    " texts, or try again later.",
    Code.PLAN_EXHAUSTED: "Another call took the last use of this plan step meanwhile.",
    Code.POLICY_UNDEFINED: "No policy gave an answer for this call, so it is denied.",
    Code.POLICY_UNAVAILABLE: "The policy engine is not available. Try again later.",
    Code.POLICY_TIMEOUT: "The policy engine did not answer in time. Try again later.",
    Code.POLICY_ANSWER_INVALID: "The policy's answer was not usable, so the call is denied.",
    Code.APPROVAL_PENDING: "A person has to approve this call. Ask again with the same call.",
    Code.APPROVAL_DENIED: "A person looked at this call and said no. Do not retry it.",
    Code.APPROVAL_EDITED: "A person changed the arguments; the changed call is decided instead.",
    Code.APPROVAL_EXPIRED: "Nobody approved this call in time. This is not a refusal.",
    Code.APPROVAL_USED: "The approval for this call was already used once.",
    Code.APPROVAL_INVALID: "The approval does not belong to exactly this call.",
    Code.APPROVAL_UNAVAILABLE: "A person would have to approve this call, and nobody who may"
    " do so can be asked here.",
    Code.OBLIGATION_UNKNOWN: "The policy attached an obligation this broker does not know.",
    Code.OBLIGATION_FAILED: "An obligation the policy attached to this call could not be fulfilled.",
    Code.BUDGET_EXHAUSTED: "The budget of this run is used up.",
    Code.ISOLATION_UNAVAILABLE: "The isolation this call needs is not available here.",
    Code.STATE_UNAVAILABLE: "The broker could not read or keep its state, so it was not run.",
    Code.TRACE_UNAVAILABLE: "The call could not be recorded, so it was not run.",
    Code.EXECUTION_REFUSED: "This call cannot run in its sandbox as it was made. Its paths have"
    " to lie in the workspace, apart from the broker's own, and what they name has to be small"
    " enough to copy.",
    Code.EXECUTION_STATE_LOST: "The sandbox kept for this tool has ended, and what earlier calls"
    " left in it is gone. This call was not run; the next one begins in a new sandbox.",
    Code.EXECUTION_PROVIDER_FAILED: "The sandbox failed before or while the tool ran, or what"
    " the tool gave back could not be used.",
    Code.EXECUTION_STOPPED: "The tool did not return: a limit stopped it, or its process ended.",
    Code.EFFECTS_REFUSED: "The tool left something in the workspace that cannot come out of a"
    " sandbox: a device, pipe, socket or hard link, special bits, an odd name, a link that leads"
    " out, too much, or a folder it could not see. Make plain files and folders only.",
    Code.EFFECTS_PROTECTED: "The tool changed settings that act outside of the sandbox (git"
    " hooks and configuration, CI, editors, agents, the broker's own). Leave them as they are; a"
    " person changes those.",
    Code.EFFECTS_TOO_LARGE: "The list of what the tool changed is longer than policies can be asked"
    " about: 1 MB for all paths and link targets together. Change less in one call, or use shorter"
    " paths.",
    Code.EFFECTS_TOO_MANY: "A person would have to see these changes, and they are more than can"
    " be shown. Change less in one call.",
    Code.EFFECTS_NEED_WAIT: "A person would have to see these changes while they are pending, and"
    " this session does not wait. Ask for the call in a session that waits for people.",
    Code.EFFECTS_CONFLICT: "Others changed the same paths while the tool ran. Read them again,"
    " then make the call again.",
    Code.EFFECTS_FAILED: "The changes could not be brought into the workspace. Try again later.",
    Code.EFFECTS_IN_DOUBT: "The changes may be in the workspace or not, and nobody can tell. A"
    " person has to look.",
    Code.EFFECTS_DISCARDED: "The tool ran. What it changed in the workspace was discarded, and"
    " its result is withheld.",
    Code.RESULT_NOT_KEPT: "This very call ran before and succeeded. Its result cannot be given a"
    " second time, and it is not run again.",
    Code.RESULT_WITHHELD: "The tool ran, but its result may not be shown.",
    Code.BROKER_UNREACHABLE: "The broker cannot be reached, so nothing was run. Try again later.",
    Code.SERVICE_OVERLOADED: "The broker has as many calls in hand as it takes, so this one was not"
    " looked at and nothing was run. Wait a little, then ask again.",
    Code.SERVICE_STOPPING: "The broker is about to stop and takes no new call, so nothing was run."
    " Ask again in a minute.",
    Code.SERVICE_REVOKED: "This program may not use the broker, or not for this subject, any more;"
    " its session has ended and nothing was run.",
    Code.BROKER_FAULT: "The broker met an error of its own and did not let the call through.",
}


_NEAREST: dict[Code, JsonObject] = {
    Code.EFFECTS_REFUSED: {"changes": {"type": ["file", "directory"]}},
    Code.EFFECTS_PROTECTED: {"changes": {"protected": False}},
    Code.EFFECTS_NEED_WAIT: {"session": {"approval_mode": "wait"}},
    Code.EFFECTS_CONFLICT: {"call": "again"},
}
"""The nearest form that would be allowed, where one can be named."""


def reason(code: Code, operator: str = "", *, agent: str = "") -> Reason:
    """The broker's reason for a code.

    Args:
        code: the code.
        operator: what an operator should know beside it; never shown to the agent.
        agent: what the agent should know beside the code's own text.
    """
    said = f"{_AGENT_TEXT[code]} {agent}".strip()
    return Reason(
        code=code.value,
        agent=shown(said)[:500],
        operator=shown(operator)[:1000],
        nearest=_NEAREST.get(code),
    )


def shown(text: str) -> str:
    """Text that can be stored, sent and read by people.

    Broken Unicode, control characters and what turns a line round become visible escapes.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
