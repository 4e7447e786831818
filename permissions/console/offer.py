"""Whether a yes to a request can be remembered, and what would be, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from permissions.approval.grant import MAX_USES, proposed
from permissions.approval.text import visible
from permissions.errors import ApprovalError
from permissions.vocabulary import is_same_person

if TYPE_CHECKING:
    from permissions.approval.approvers import Approver
    from permissions.approval.model import AccessRequest

HOURS: Final = (1, 4, 8, 24, 168)
USES: Final = 5


class Offer(NamedTuple):
    """What would be remembered, in words."""

    constraints: list[str]
    around: str
    hours: tuple[int, ...] = HOURS
    uses: int = USES
    most: int = MAX_USES


def offer(request: AccessRequest, approver: Approver | None) -> Offer | None:
    """What this person may have remembered; None where it would not count."""
    call = request.call
    if approver is None or call.terms.quorum > 1:
        return None
    if any(is_same_person(who, approver.id) for who in (call.subject, call.on_behalf_of or "")):
        return None
    try:
        found = proposed(request)
    except (ApprovalError, ValidationError):
        return None
    behalf = f" for {visible(call.on_behalf_of)}" if call.on_behalf_of else ""
    return Offer(
        [f"{visible(name)} is {visible(each.value)}" for name, each in sorted(found.items())],
        f"{visible(call.tool)}, asked by {visible(call.subject)}{behalf}"
        f" in {visible(call.workspace)}",
    )
