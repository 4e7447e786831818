"""What was approved for a while: an approver's own, and for responders everybody's; taken back here.

To take one back only narrows, so it needs no passkey: whoever's session it is can stop what asks
nobody, and let nothing run. A page that is stale does no harm: what was taken back stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from permissions.approval.grant import Grant
from permissions.approval.text import moment, time_left, visible
from permissions.errors import ApprovalError, SigningError
from permissions.logs import get_logger
from permissions.signing import dsse

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.approval.grant_store import KeptGrant
    from permissions.console.visit import Visit

MOST = 200
"""Grants on the page, those in force first."""
_log = get_logger("console.grants")


class Shown(NamedTuple):
    """One grant, in words."""

    id: str
    tool: str
    approver: str
    constraints: list[str]
    around: str
    used: str
    standing: str
    in_force: bool


async def show(visit: Visit) -> Response:
    """The page."""
    kept = await _theirs(visit)
    shown = [_shown(each, visit.parts.clock()) for each in reversed(kept)]
    shown.sort(key=lambda each: not each.in_force)
    return visit.page("grants.html", grants=shown[:MOST], more=max(0, len(shown) - MOST))


async def revoke(visit: Visit) -> Response:
    """Takes one back, for calls that have not begun."""
    await visit.form()
    name = visit.request.path_params["grant"]
    if name not in [each.id for each in await _theirs(visit)]:
        said = "It is not there, or it is not yours."
        return visit.told("There is no such grant", said, status=404)
    try:
        await visit.parts.broker.parts.approvals.revoke_grant(name)
    except ApprovalError as err:
        return visit.told("Nothing was taken back", str(err)[:500], status=409)
    _log.info("grant_revoked", grant=name, by=visit.who.name, role=visit.role)
    return visit.to("/grants")


async def _theirs(visit: Visit) -> list[KeptGrant]:
    found = await visit.parts.broker.parts.approvals.grants()
    if visit.role != "approver":
        return list(found)
    return [
        each
        for each in found
        if (read := _read(each)) is not None and read.approver == visit.who.name
    ]


def _read(kept: KeptGrant) -> Grant | None:
    try:
        return Grant.model_validate_json(dsse.Envelope.parse(kept.envelope.encode()).payload)
    except (SigningError, ValidationError):
        return None


def _shown(kept: KeptGrant, now: int) -> Shown:
    grant = _read(kept)
    if grant is None:
        unreadable = "cannot be read, and counts for nothing"
        return Shown(kept.id, "", "", [], "", "", unreadable, in_force=False)
    if kept.revoked_at is not None:
        standing = f"taken back {moment(kept.revoked_at)}"
    elif kept.used >= kept.uses:
        standing = "used up"
    elif now >= grant.until:
        standing = "over"
    else:
        standing = f"ends {time_left(grant.until - now)}"
    behalf = f" for {visible(grant.on_behalf_of)}" if grant.on_behalf_of else ""
    return Shown(
        id=kept.id,
        tool=grant.tool,
        approver=grant.approver,
        constraints=[
            f"{visible(name)} {each.words}" for name, each in sorted(grant.constraints.items())
        ],
        around=f"asked by {visible(grant.subject)}{behalf} in {visible(grant.workspace)}",
        used=f"{kept.used} of {kept.uses} uses",
        standing=standing,
        in_force=standing.startswith("ends "),
    )
