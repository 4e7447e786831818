"""The port of every executor of a tool, and what comes back from it.

The verdict is given by whoever supervises the run, never by the code that ran.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from permissions.execution.halt import Halt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from permissions.execution.pending_changes import PendingChanges
    from permissions.model import Denial, JsonObject, JsonValue
    from permissions.tools.definition import Arguments, ToolDefinition

Status = Literal[
    "ok",
    "discarded",
    "error",
    "stopped",
    "provider_failed",
    "unavailable",
    "state_lost",
    "cancelled",
    "not_run",
]
"""`ok` it returned; `discarded` it returned, and what it changed in the workspace was not kept;
`error` it raised; `stopped` a limit ended it; `provider_failed` the executor failed;
`unavailable` what the executor needs is missing, nothing ran; `state_lost` the sandbox of its stateful session
was over, and nothing was started; `cancelled` the caller gave up; `not_run` nothing was started
after all."""


@dataclass(frozen=True, slots=True)
class ObservedEffect:
    """Something the executor saw the run do, which the run itself had no say in.

    Attributes:
        body: plain facts, for the record.
        contents: what the run chose, to be sealed.
    """

    body: JsonObject
    contents: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Reported:
    """What whoever ran the tool read out of its result, whose JSON form is not all of it.

    Attributes:
        readable: everything that an agent could read in it, as JSON.
        whole: whether that is all there is.
        exact: whether the JSON form, read by the tool's type, is the value itself.
    """

    readable: JsonValue
    whole: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one execution.

    Attributes:
        value: what the function returned, when `status` is `ok`.
        error: the exception to give to the caller, when there is one.
        detail: one line for the record, without any argument or result.
        verdict: the supervisor's word (`ok`, `timeout`, `oom`, ...).
        streams: bounded output of a sandbox by name (`stdout`, `stderr`).
        enforced: what the executor really enforced, for the record.
        effects: what it saw the run do, in order.
        pending: what it would change in its workspace, still to be decided.
        denial: why nothing of it is handed out, when that was decided.
        notes: what of the workspace the run did not get, or did not give back, and why.
        reported: of a run in another process, beside `value`, which is JSON then.
        shown: what an agent was shown beside `value`: detectors look at it, and nothing keeps it.
    """

    status: Status
    value: Any = None
    error: BaseException | None = None
    detail: str = ""
    verdict: str = "ok"
    streams: dict[str, bytes] = field(default_factory=dict)
    enforced: JsonObject = field(default_factory=dict)
    effects: tuple[ObservedEffect, ...] = ()
    pending: PendingChanges | None = None
    denial: Denial | None = None
    notes: tuple[str, ...] = ()
    reported: Reported | None = None
    shown: JsonValue = None


@dataclass(frozen=True, slots=True)
class ConnectionAnswer:
    """Whether a run may make one connection.

    Attributes:
        code: of the first reason against it, for the code inside; `egress.allowed` without.
        number: of the recorded decision within its call; None when none could be recorded.
    """

    permitted: bool
    code: str
    number: int | None


class ConnectionGate(Protocol):
    """Decides the connections of one run."""

    async def decide(self, connection: JsonObject) -> ConnectionAnswer:
        """Answers for `kind`, `host`, `port`, `method` and `path` of one connection.

        Whoever asks takes an exception, or no answer in its own time, for a refusal.
        """
        ...


@dataclass(frozen=True, slots=True)
class Execution:
    """One permitted run, as its executor needs to know it.

    Attributes:
        targets: parsed targets of the arguments (`resource.properties.targets`).
        workspace: folder that relative paths start from.
        profile: name of the sandbox profile; None for the tightest.
        deadline_seconds: then it is stopped.
        run: whose call it is.
        gate: decides its connections; without one it makes none.
        halt: ends it when a person stops it.
    """

    definition: ToolDefinition
    arguments: Arguments
    targets: Sequence[JsonObject]
    workspace: Path
    profile: str | None
    deadline_seconds: float
    run: str
    gate: ConnectionGate | None = None
    halt: Halt = field(default_factory=Halt, compare=False)


class ToolExecutor(Protocol):
    """Runs permitted calls behind one kind of boundary."""

    def enforces(self, execution: Execution) -> JsonObject:
        """What will be enforced, known before the start: it goes into the signed record.

        Raises:
            ExecutionError: this executor cannot run this tool, or has no such profile.
            StateLostError: the sandbox that was kept for it is over.
        """
        ...

    async def execute(self, execution: Execution) -> Outcome:
        """Runs the tool's function. Faults of the executor are outcomes, not exceptions.

        Cancelling stops the run and leaves nothing behind.
        """
        ...

    async def end_run(self, run: str) -> None:
        """Ends whatever was kept for a run; there are no calls of it from now on."""
        ...
