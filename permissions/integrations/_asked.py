"""What every adapter says of a call: the session it belongs to, and its key."""

from __future__ import annotations

import json

from permissions.errors import NoSessionError
from permissions.sessions.handle import CurrentSession
from permissions.signing.canonical import digest
from permissions.tools.context import CURRENT_SESSION


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
