"""What a hook found of one call, before it is written in an agent's own form. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verdict(NamedTuple):
    """What becomes of the call.

    Attributes:
        decision: `allow` it may be made; `ask` a person at the agent's own prompt decides;
            `deny` it is not made.
        reason: for the agent: why, and what it can do instead.
    """

    decision: Literal["allow", "ask", "deny"]
    reason: str = ""


ALLOWED = Verdict("allow")
_ADVICE = {
    "pending": "",
    "unavailable": " This is no refusal by policy; the same call may be made again later.",
    "expired": " Nobody answered in time; ask the person how to go on.",
}
_DENIED = " Do not repeat this call as it is: do what is allowed, or say what is missing."


def verdict_of(denial: Mapping[str, Any], *, may_ask: bool) -> Verdict:
    """What a broker's refusal is to the agent.

    Args:
        denial: as JSON; see `permissions.service.wire.denial_form`.
        may_ask: whether a person at the agent's own prompt may answer in the broker's stead.
    """
    reasons = [each for each in denial["reasons"] if each["code"] != "approval.pending"]
    said = " ".join(dict.fromkeys(f"{each['agent']} [{each['code']}]" for each in reasons))
    request = denial.get("access_request")
    if denial["kind"] != "pending" or not request:
        return Verdict("deny", f"Wardline: {said}{_ADVICE.get(denial['kind'], _DENIED)}")
    if may_ask:
        return Verdict("ask", f"Wardline: {said}")
    how = f"a person answers {request} (`wardline request approve {request}`, or the console)"
    return Verdict("deny", f"Wardline: {said} Held: when {how}, make the same call again.")


class Answer(NamedTuple):
    """What the command prints, and how it ends."""

    stdout: str
    stderr: str
    exit_code: int


class EventError(Exception):
    """What came on standard input is no event of this agent; says what is wrong with it."""
