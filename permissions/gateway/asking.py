"""Telling the person at a client that a call waits for an answer, and where to give it. Pure.

A client is no approver: it is the agent's own program, and whoever sits there has not shown who
they are. So an elicitation asks for nothing that counts. It says where to answer, and that the
call is to be tried again; whether it runs is in the broker's store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.types import ElicitRequestFormParams, ElicitRequestURLParams

if TYPE_CHECKING:
    from mcp.types import ClientCapabilities

    from permissions.model import Denial
    from permissions.vocabulary import JsonObject

AGAIN = {
    "type": "object",
    "properties": {
        "again": {
            "type": "boolean",
            "title": "Try the call again",
            "description": "It runs if it was approved there. This is no approval.",
            "default": True,
        }
    },
}


def where(denial: Denial, url: str) -> JsonObject:
    """Where people answer the request of a call that waits.

    Args:
        denial: of the call.
        url: of the console; empty without one.
    """
    request = denial.access_request or ""
    found: JsonObject = {"request": request, "command": f"wardline request show {request}"}
    if url:
        found["url"] = f"{url.rstrip('/')}/requests/{request}"
    return found


def elicitation(
    denial: Denial, capabilities: ClientCapabilities | None, url: str
) -> ElicitRequestURLParams | ElicitRequestFormParams | None:
    """What to ask a client that shows such things; None for one that does not.

    No argument of the call is in it: what an approver sees is rendered where they answer.
    """
    can = None if capabilities is None else capabilities.elicitation
    if can is None or denial.access_request is None:
        return None
    at = where(denial, url)
    said = f"A call of {denial.tool} waits for a person's approval (request {at['request']})."
    if can.url is not None and url:
        return ElicitRequestURLParams(
            message=f"{said} Answer it in the console; it is tried again when you come back.",
            url=at["url"],
            elicitation_id=denial.access_request,
        )
    if can.form is None and can.url is not None:
        return None
    how = at.get("url") or f"with `{at['command']}` and `wardline request approve`"
    return ElicitRequestFormParams(
        message=f"{said} An approver answers it: {how}. Then go on here.",
        requested_schema=AGAIN,
    )
