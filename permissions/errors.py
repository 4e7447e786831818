"""Every exception this package raises, grouped by who can mend it.

::

    BrokerError
    ├── ConfigError              the operator: a setting, a key, a path
    ├── ToolDefinitionError      the tool's developer: decorator, schema, registry
    ├── ArgumentsError           the caller: arguments that do not fit the tool's schema
    ├── PolicyLoadError          the policy's author: `findings` say file, line, column
    ├── PdpError                 no clear answer from the decision point
    │   ├── PdpUnavailableError      it is down, was killed, or refused to start
    │   ├── PdpTimeoutError          it did not answer within its deadline
    │   ├── PdpUndefinedError        it answered with nothing
    │   ├── PdpAnswerError           it answered, but not in the contract's form
    │   └── PdpInputError            the request may not be put to it (numbers, depth, size)
    ├── PlanError                the planner: a plan that is not well-formed
    ├── DelegationError          the program: more than it has is given, or what was revoked
    ├── StateError               the operator: the durable state cannot be opened, read, written
    ├── BudgetError              the broker's caller: an amount or reservation that makes no sense
    ├── ApprovalError            an access request that cannot be made, found or used
    │   ├── ApproverRefusedError     this person may not answer this request
    │   ├── RequestClosedError       it is no longer open: decided, expired, cancelled
    │   ├── ApprovalInvalidError     the votes do not prove an approval of exactly this call
    │   └── ApprovalUsedError        the approval was used once already
    ├── SigningError             a key that is missing, or a signature that does not verify
    ├── TraceError
    │   ├── TraceWriteError          the record could not be made durable: nothing runs
    │   └── TraceIntegrityError      the record was altered, cut or forged
    ├── DetectionError           a detector failed, or was given more than it takes
    │   └── DetectionTimeoutError    it did not answer in time
    ├── ExecutionError           the provider of an execution failed, not the tool itself
    │   ├── ExecutionUnavailableError  what the profile names cannot be had here
    │   └── StateLostError           the sandbox kept for this tool is over, its state gone
    ├── ToolFailedError          the tool itself raised inside a sandbox
    ├── RunOpenError             the program: a run that is open already, or somebody else's
    ├── GatewayError             an MCP server cannot be reached, or is not what was approved
    ├── ServiceError             the broker's daemon cannot be reached, or is not understood
    ├── SignInError              the console: a link that was used, or a passkey that is nobody's
    ├── NoSessionError           a guarded tool was called outside any broker session
    └── CallDenied               a direct call was refused; carries the `Denial`

A denial is a value (`model.Denial`), never an exception, except in the one case where a
plain Python caller has nothing else to look at: `CallDenied`.

Messages say what, which value (shortened), and what to do. They never hold a raw argument
of a tool call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class BrokerError(Exception):
    """Root of this package's exceptions."""


class ConfigError(BrokerError):
    """A setting, key or path the operator has to mend."""


class ToolDefinitionError(BrokerError):
    """A tool that cannot be defined or registered as written."""


class ArgumentsError(BrokerError):
    """Arguments that do not fit the tool's schema.

    Attributes:
        problems: one sentence per problem, naming the argument and the rule it breaks but
            never the value given.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class PolicyLoadError(BrokerError):
    """A policy bundle that must not be used.

    Attributes:
        findings: one line each, `file:line:column: code: what is wrong; what to do`.
    """

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(self.findings))


class PdpError(BrokerError):
    """The decision point gave no clear answer. Always a deny."""


class PdpUnavailableError(PdpError):
    """The decision point is down, died, or could not be started."""


class PdpTimeoutError(PdpError):
    """The decision point did not answer within its deadline."""


class PdpUndefinedError(PdpError):
    """The entrypoint of the policy is undefined for this input."""


class PdpAnswerError(PdpError):
    """The answer breaks the contract of `data.wardline.main.response`."""


class PdpInputError(PdpError):
    """The request may not be put to a Rego engine (numbers, depth, size, surrogates)."""


class PlanError(BrokerError):
    """A plan that is not well-formed."""


class ApprovalError(BrokerError):
    """An access request that cannot be made, found, decided or used."""


class ApproverRefusedError(ApprovalError):
    """This person (or this key) may not answer this access request."""


class RequestClosedError(ApprovalError):
    """The access request is no longer open: decided, expired or cancelled."""


class ApprovalInvalidError(ApprovalError):
    """The recorded votes do not prove an approval of exactly this call."""


class ApprovalUsedError(ApprovalError):
    """The approval was used once already."""


class DelegationError(BrokerError):
    """A delegation that is not well-formed, gives more than its giver has, or was revoked."""


class StateError(BrokerError):
    """The durable state could not be opened, read or written."""


class BudgetError(BrokerError):
    """An amount or a reservation that makes no sense, or limits that changed in mid-run."""


class SigningError(BrokerError):
    """A key that is missing or unusable, or a signature that does not verify."""


class TraceError(BrokerError):
    """Root of the trace's exceptions."""


class TraceWriteError(TraceError):
    """The record could not be made durable. Nothing may run after it."""


class TraceIntegrityError(TraceError):
    """The trace was altered, cut or forged, or was not written by the pinned key."""


class DetectionError(BrokerError):
    """A detector failed, answered in another form, or was given more than it takes."""


class DetectionTimeoutError(DetectionError):
    """A detector did not answer in time."""


class ExecutionError(BrokerError):
    """The provider of an execution failed (no sandbox, daemon gone), not the tool itself."""


class ExecutionUnavailableError(ExecutionError):
    """What a sandbox profile names cannot be had here, known before anything was started."""


class StateLostError(ExecutionError):
    """The sandbox that was kept for this run and tool is over; nothing was started."""


class ToolFailedError(BrokerError):
    """The tool itself raised, in a sandbox where its exception could not come back whole."""


class RunOpenError(BrokerError):
    """A run cannot be opened: it has a session already, or belongs to another subject."""


class GatewayError(BrokerError):
    """An MCP server cannot be reached, gives no answer, or offers what nobody approved."""


class ServiceError(BrokerError):
    """The broker's daemon cannot be reached, or what is said over its socket is not understood."""


class SignInError(BrokerError):
    """Nobody is signed in to the console by this: a used link, an expired one, a wrong passkey."""


class NoSessionError(BrokerError):
    """A guarded tool was called outside any broker session, so nothing could decide it."""
