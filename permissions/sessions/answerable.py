"""Whether one person alone may answer what a call waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import BrokerError

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.model import Denial


async def is_one_persons(broker: PermissionBroker, denial: Denial) -> bool:
    """True for a question that the person who asks may answer, and nobody else has to.

    An adapter that can put a question to the person in front of it may put this one there.
    """
    if denial.access_request is None:
        return False
    try:
        request = await broker.parts.approvals.get(denial.access_request)
    except BrokerError:
        return False
    terms = request.call.terms
    return terms.quorum == 1 and not terms.separation_of_duties
