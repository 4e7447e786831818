"""A denial as a model is told it: what happened, and what an agent does about it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from permissions.model import Denial, DenialKind, JsonObject


def told(denial: Denial) -> JsonObject:
    """A denial as a model is told it, with what to do about it."""
    return {**denial.for_agent(), "advice": advice(denial.kind)}


def advice(kind: DenialKind) -> str:
    """What an agent does about a denial of this kind; three that look alike read apart."""
    match kind:
        case "denied":
            return (
                "Do not repeat this call as it is. Do what is allowed, or say what is missing."
            )
        case "pending":
            return "Wait for the person's answer, then make the same call again."
        case "expired":
            return "Nobody said no, and nobody said yes in time. Ask the person how to go on."
        case "unavailable":
            return "This is no refusal; the same call may be made again later."
        case "in_doubt":
            return "Do not retry this call: it may have had its effect. A person has to look."
        case _:
            assert_never(kind)
