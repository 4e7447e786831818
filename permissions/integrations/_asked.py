"""What every adapter says of a call: the session it belongs to, its key, and what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, assert_never

from permissions.errors import NoSessionError
from permissions.sessions.handle import CurrentSession
from permissions.signing.canonical import digest
from permissions.tools.context import CURRENT_SESSION

if TYPE_CHECKING:
    from permissions.model import Denial, DenialKind, JsonObject


def current_session(what: str) -> CurrentSession:
    """The session that is open around the agent's run.

    Args:
        what: was to be called, for the error.

    Raises:
        NoSessionError: none is open.
    """
    handle = CURRENT_SESSION.get()
    if not isinstance(handle, CurrentSession):
        raise NoSessionError(
            f"{what[:64]!r} was called outside a broker session; run the agent inside"
            " `with broker.session(user=..., run=...):`"
        )
    return handle


def call_key(framework: str, run: str, *turn: str | int | None) -> str:
    """A key by which a call that is made again finds its approval and its result.

    Args:
        framework: whose ids these are.
        run: of the session.
        *turn: what names the call within the run, the same when the run goes on elsewhere.
    """
    return digest(json.dumps([framework, run, *turn]).encode())


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
