"""Who may open which page of the console, and do what there.

An approver reads the requests that they may answer, and answers them, and says what became
of calls in doubt. A responder reads all that
happened, and stops what should not go on. An operator also reads the policies and what they would decide. Nobody has two roles in
one session: who is both signs in twice.
"""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["approver", "responder", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)

Right = Literal["inbox", "vote", "grants", "doubts", "runs", "stop", "policies"]
_RIGHTS: dict[Role, frozenset[Right]] = {
    "approver": frozenset({"inbox", "vote", "grants", "doubts"}),
    "responder": frozenset({"inbox", "grants", "doubts", "runs", "stop"}),
    "operator": frozenset({"inbox", "grants", "doubts", "runs", "stop", "policies"}),
}


def may(role: Role, right: Right) -> bool:
    """Whether somebody of this role has the right."""
    return right in _RIGHTS[role]
