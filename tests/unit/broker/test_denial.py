"""What each failure means for a call, and what each code says."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Annotated, get_args

import pytest

from permissions import errors
from permissions.broker.denial import refusal_of
from permissions.errors import BrokerError
from permissions.model import Denial, DenialKind
from permissions.obligations.obligations import ObligationFailedError, ObligationUnknownError
from permissions.reasons import Code, reason
from permissions.sessions.open import open_session
from permissions.testing import memory_broker
from permissions.tools.call import ToolCall
from wardline import PathArg, tool

if TYPE_CHECKING:
    from pathlib import Path

MEANS = {
    errors.PdpInputError: ("denied", Code.ARGUMENTS_UNREPRESENTABLE),
    errors.PdpTimeoutError: ("unavailable", Code.POLICY_TIMEOUT),
    errors.PdpUndefinedError: ("denied", Code.POLICY_UNDEFINED),
    errors.PdpAnswerError: ("denied", Code.POLICY_ANSWER_INVALID),
    errors.PdpUnavailableError: ("unavailable", Code.POLICY_UNAVAILABLE),
    errors.PdpError: ("unavailable", Code.POLICY_UNAVAILABLE),
    ObligationUnknownError: ("denied", Code.OBLIGATION_UNKNOWN),
    ObligationFailedError: ("denied", Code.OBLIGATION_FAILED),
    errors.ExecutionUnavailableError: ("unavailable", Code.ISOLATION_UNAVAILABLE),
    errors.StateLostError: ("unavailable", Code.EXECUTION_STATE_LOST),
    errors.ExecutionError: ("denied", Code.EXECUTION_REFUSED),
    errors.PlanError: ("denied", Code.PLAN_EXHAUSTED),
    errors.ApprovalUsedError: ("denied", Code.APPROVAL_USED),
    errors.ApprovalInvalidError: ("denied", Code.APPROVAL_INVALID),
    errors.RequestClosedError: ("expired", Code.APPROVAL_EXPIRED),
    errors.ApproverRefusedError: ("denied", Code.APPROVAL_UNAVAILABLE),
    errors.ApprovalError: ("denied", Code.APPROVAL_UNAVAILABLE),
    errors.StateError: ("unavailable", Code.STATE_UNAVAILABLE),
    errors.DetectionTimeoutError: ("unavailable", Code.DETECTION_LATE),
    errors.DetectionError: ("denied", Code.DETECTION_FAILED),
    errors.TraceWriteError: ("unavailable", Code.TRACE_UNAVAILABLE),
    errors.TraceIntegrityError: ("unavailable", Code.TRACE_UNAVAILABLE),
    errors.TraceError: ("unavailable", Code.TRACE_UNAVAILABLE),
}
NOT_ON_THE_WAY = {
    errors.BrokerError,  # the root
    errors.ConfigError,  # these end an opening, before any call
    errors.ToolDefinitionError,
    errors.PolicyLoadError,
    errors.RunOpenError,
    errors.DelegationError,
    errors.BudgetError,  # these come from the broker's own mistakes: a fault
    errors.SigningError,
    errors.ArgumentsError,  # intake says it with the name of the argument
    errors.ToolFailedError,  # the tool's own end, not a refusal
    errors.NoSessionError,  # raised to the program
    errors.ServiceError,  # between a daemon and its client, outside of a call
    errors.SignInError,  # to a page of the console
    errors.GatewayError,  # inside a tool of an MCP server, which has failed then
}


@pytest.mark.parametrize("kind", MEANS, ids=lambda kind: kind.__name__)
def test_each_failure_of_a_stage_has_its_meaning(kind: type[BrokerError]) -> None:
    refusal = refusal_of(kind("what the operator should know"))

    (said,) = refusal.reasons
    assert (refusal.kind, said.code) == MEANS[kind]
    assert said.operator == "what the operator should know"
    assert "operator" not in said.agent


def test_no_failure_is_without_a_meaning() -> None:
    """A new exception has to be put into one of the two tables above."""
    known = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, BrokerError)
    }

    assert known - MEANS.keys() == NOT_ON_THE_WAY


@pytest.mark.parametrize(
    "err", [KeyError("secret"), OSError(5, "secret"), BrokerError("secret")]
)
def test_a_fault_nobody_announced_denies_and_its_text_is_told_to_nobody(
    err: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The text of a foreign exception may quote a value; its position is enough to mend it."""
    with pytest.raises(type(err)) as raised:
        raise err
    with caplog.at_level(logging.DEBUG, logger="wardline"):
        refusal = refusal_of(raised.value)

    assert (refusal.kind, refusal.reasons[0].code) == ("unavailable", Code.BROKER_FAULT)
    assert "test_denial.py" in caplog.text
    assert type(err).__name__ in caplog.text
    assert "secret" not in caplog.text + str(refusal.reasons)


def test_an_error_whose_text_is_broken_unicode_is_still_a_refusal() -> None:
    refusal = refusal_of(errors.StateError("\ud800" * 2000))

    assert refusal.reasons[0].code == Code.STATE_UNAVAILABLE
    assert refusal.reasons[0].operator.isascii()


@pytest.mark.parametrize("code", Code)
def test_each_code_says_something_and_holds_no_operator_text(code: Code) -> None:
    said = reason(code, "only for operators", agent="And more.")

    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", code.value)
    assert said.code == code.value
    assert said.agent.endswith("And more.")
    assert "operators" not in said.agent
    assert len(reason(code, "x" * 5000, agent="y" * 5000).agent) <= 500


@pytest.mark.parametrize("kind", get_args(DenialKind))
def test_a_denial_of_each_kind_says_what_and_whether_to_try_again(kind: DenialKind) -> None:
    refused = reason(Code.BROKER_FAULT, "x-operator")
    denial = Denial("call-1", "act", kind, (refused,), "request-1")

    assert "x-operator" not in str(denial) + str(denial.for_agent())
    assert str(denial).startswith("act was ")
    assert "broker.fault" in str(denial)
    assert denial.for_agent()["retry"] is (kind in ("pending", "unavailable"))
    assert denial.code == "broker.fault"


@tool(effect="read", impact="low")
def look(path: Annotated[str, PathArg("read")]) -> str:
    """Looks."""
    return path


async def called_after_the_trace_failed(folder: Path, found: list[object]) -> None:
    async with (
        memory_broker([look], workspace=folder) as broker,
        open_session(broker, user="alice", prompt="look") as session,
    ):
        broker.trace.fail("the disk is full")
        for path in ("a", "/etc/passwd", "b"):
            found += [await broker.call(session, ToolCall("look", {"path": path}))]


async def test_a_trace_that_failed_is_said_once_and_not_for_each_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[object] = []
    with pytest.raises(errors.TraceWriteError):  # nor can the run's end be recorded
        await called_after_the_trace_failed(tmp_path, found)

    assert [type(result) for result in found] == [Denial] * 3
    said = [each for each in caplog.records if "denial_not_recorded" in each.getMessage()]
    assert len([each for each in said if each.levelno >= logging.ERROR]) == 1
