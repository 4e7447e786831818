"""The early end of a call inside the broker, and what each stage's failure means for it."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from permissions.errors import (
    ApprovalError,
    ApprovalInvalidError,
    ApprovalUsedError,
    BrokerError,
    DetectionError,
    DetectionTimeoutError,
    ExecutionError,
    ExecutionUnavailableError,
    PdpAnswerError,
    PdpError,
    PdpInputError,
    PdpTimeoutError,
    PdpUndefinedError,
    PlanError,
    RequestClosedError,
    StateError,
    StateLostError,
    TraceError,
)
from permissions.logs import get_logger
from permissions.obligations.obligations import ObligationFailedError, ObligationUnknownError
from permissions.reasons import Code, reason

if TYPE_CHECKING:
    from permissions.approval.model import Vote
    from permissions.model import DenialKind, JsonObject, Reason

_log = get_logger("broker.denial")


class Refusal(Exception):  # noqa: N818 - ends the flow early; never leaves the broker
    """A step of the flow said no. The broker records it and turns it into a `Denial`."""

    def __init__(
        self,
        kind: DenialKind,
        *reasons: Reason,
        access_request: str | None = None,
        votes: tuple[Vote, ...] = (),
        edited: JsonObject | None = None,
    ) -> None:
        self.kind = kind
        self.reasons = reasons
        self.access_request = access_request
        self.votes = votes
        self.edited = edited
        """What a person made of the arguments, when that is what is to be decided instead."""
        super().__init__(kind)


_FAILURES: dict[type[BrokerError], tuple[DenialKind, Code]] = {
    PdpInputError: ("denied", Code.ARGUMENTS_UNREPRESENTABLE),
    PdpTimeoutError: ("unavailable", Code.POLICY_TIMEOUT),
    PdpUndefinedError: ("denied", Code.POLICY_UNDEFINED),
    PdpAnswerError: ("denied", Code.POLICY_ANSWER_INVALID),
    PdpError: ("unavailable", Code.POLICY_UNAVAILABLE),
    ObligationUnknownError: ("denied", Code.OBLIGATION_UNKNOWN),
    ObligationFailedError: ("denied", Code.OBLIGATION_FAILED),
    ExecutionUnavailableError: ("unavailable", Code.ISOLATION_UNAVAILABLE),
    StateLostError: ("unavailable", Code.EXECUTION_STATE_LOST),
    ExecutionError: ("denied", Code.EXECUTION_REFUSED),
    PlanError: ("denied", Code.PLAN_EXHAUSTED),
    ApprovalUsedError: ("denied", Code.APPROVAL_USED),
    ApprovalInvalidError: ("denied", Code.APPROVAL_INVALID),
    RequestClosedError: ("expired", Code.APPROVAL_EXPIRED),
    ApprovalError: ("denied", Code.APPROVAL_UNAVAILABLE),
    StateError: ("unavailable", Code.STATE_UNAVAILABLE),
    DetectionTimeoutError: ("unavailable", Code.DETECTION_LATE),
    DetectionError: ("denied", Code.DETECTION_FAILED),
    TraceError: ("unavailable", Code.TRACE_UNAVAILABLE),
}
"""What a stage's failure means for the call, the most special first."""


def refusal_of(err: Exception) -> Refusal:
    """The refusal an exception on the way to a decision comes to.

    One that no stage announces is a fault of the broker's own: it is logged with the lines it
    came through, but not with its text, which may hold a value of the call.
    """
    for kind_of_error, (kind, code) in _FAILURES.items():
        if isinstance(err, kind_of_error):
            return Refusal(kind, reason(code, str(err)))
    lines = "".join(traceback.format_tb(err.__traceback__))
    _log.error("broker_faulted", fault=type(err).__name__, lines=lines)
    return Refusal("unavailable", reason(Code.BROKER_FAULT, type(err).__name__))


def fault(err: Exception) -> str:
    """An error for the log: its text if it is one of ours, which hold no values."""
    return str(err) if isinstance(err, BrokerError) else type(err).__name__
