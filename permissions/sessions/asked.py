"""A session for a question that is not recorded: what would be decided if somebody asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.obligations.budget import InMemoryBudgetLedger
from permissions.run.found_values import FoundValues
from permissions.run.provenance import ProvenanceLedger
from permissions.run.state import RunState, subject_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.broker.ports import BrokerParts


def asked_session(
    parts: BrokerParts, *, user: str | None, agent: str | None, roles: Sequence[str]
) -> RunState:
    """A run that nobody opened, for `PermissionBroker.explain` only.

    Raises:
        ConfigError: a name reads as somebody else's.
    """
    return RunState(
        run=parts.ids("run"),
        subject=subject_of(user=user, agent=agent, roles=roles),
        workspace=parts.workspace.resolve(),
        approval_mode="suspend",
        budgets=InMemoryBudgetLedger(),
        limits={"calls": None},
        provenance=ProvenanceLedger(),
        found=FoundValues(parts.inspection.recorded),
    )
