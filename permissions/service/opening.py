"""The first frame of a connection: what session it asks for, and whether it may.

Each function refuses with a `ServiceError` what is not of the form, of another version, or not
this client's to ask; none opens anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from permissions.errors import ServiceError
from permissions.plan.model import plan_from
from permissions.service.frames import VERSION

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.model import JsonObject
    from permissions.service.clients import Client
    from permissions.service.frames import Frames

OPENING_SECONDS = 10.0
"""For the first frame to come."""
OPENING_BYTES = 8 * 1024 * 1024
"""Of the first frame: a prompt and a plan."""

_TEXTS = ("user", "agent", "run", "prompt", "approval_mode", "workspace")


async def first_frame(frames: Frames) -> JsonObject | None:
    """What a connection begins with; None when it ends before that.

    Raises:
        ServiceError: it is no frame, too long, or does not come.
    """
    with anyio.move_on_after(OPENING_SECONDS) as waiting:
        asked = await frames.receive(most=OPENING_BYTES)
    if waiting.cancelled_caught:
        raise ServiceError(f"nothing was asked within {OPENING_SECONDS:g} s")
    return asked


def require_version(asked: JsonObject) -> None:
    """Checks that it opens a session, in the version that is spoken here.

    Raises:
        ServiceError: it does not.
    """
    if asked.get("do") != "open" or type(asked.get("id")) is not int:
        raise ServiceError("the first frame of a connection opens a session")
    if asked.get("version") != VERSION:
        raise ServiceError(
            f"the client speaks version {str(asked.get('version'))[:20]}, this daemon"
            f" {VERSION}; install the same wardline for both"
        )


def session_options(asked: JsonObject, client: Client) -> dict[str, Any]:
    """What `open_session` is told, of what the client may say.

    Raises:
        ServiceError: it is not of the form, or not this client's to say.
        PlanError: its plan is none.
    """
    texts = {name: asked.get(name) for name in _TEXTS}
    roles, budgets = asked.get("roles", []), asked.get("budgets")
    if not (
        all(value is None or isinstance(value, str) for value in texts.values())
        and isinstance(roles, list)
        and all(isinstance(role, str) for role in roles)
        and (budgets is None or _is_budgets(budgets))
    ):
        raise ServiceError("what the session is opened with is not of the form")
    client.require(user=texts["user"], agent=texts["agent"], roles=roles)
    plan, workspace = asked.get("plan"), client.workspace(texts["workspace"])
    return {
        **texts,
        "prompt": texts["prompt"] or "",
        "roles": roles,
        "budgets": budgets,
        "plan": None if plan is None else plan_from(plan),
        "plan_required": asked.get("plan_required") is True,
        "workspace": workspace,
    }


def _is_budgets(budgets: object) -> bool:
    return isinstance(budgets, dict) and all(type(each) is int for each in budgets.values())


def require_tools(broker: PermissionBroker, tools: object) -> None:
    """Checks that the client's tools are the daemon's: their names and their definitions.

    Raises:
        ServiceError: one is not.
    """
    if not isinstance(tools, dict):
        raise ServiceError("the tools of a session are not of the form")
    for name, known_as in tools.items():
        known = broker.known(name)
        if known is None:
            raise ServiceError(
                f"the daemon knows no tool {name[:80]!r}; start it with --tools MODULE"
            )
        if known.digest != known_as:
            raise ServiceError(
                f"the tool {name[:80]!r} of this process is not the daemon's: its definition or"
                " its source differs. Restart both from the same code"
            )
