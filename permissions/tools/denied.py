"""A refused call, for callers that called the tool itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import BrokerError

if TYPE_CHECKING:
    from permissions.model import Denial


class CallDenied(BrokerError):  # noqa: N818 - a refusal, not a fault
    """A direct call of a guarded tool was refused.

    Attributes:
        denial: the refusal as data, safe to show to the agent.
    """

    def __init__(self, denial: Denial) -> None:
        self.denial = denial
        super().__init__(str(denial))
