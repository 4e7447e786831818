"""What decorated functions and adapters need of a broker, wherever it runs.

`PermissionBroker` has it in this process, `permissions.service.remote` over a socket; one
conformance suite holds both to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from permissions.broker.explanation import Explanation
    from permissions.execution.base import Execution, Outcome
    from permissions.model import CallResult, Digest, JsonObject, Subject
    from permissions.tools.call import ToolCall
    from permissions.tools.definition import ToolDefinition


class OpenRun(Protocol):
    """What a program may see of its session: of which run, and for whom."""

    @property
    def run(self) -> str:
        """Id of the run."""
        ...

    @property
    def subject(self) -> Subject:
        """Who asks."""
        ...


class Admitted(Protocol):
    """Permission to run one call once (see `permissions.broker.call.Admission`)."""

    @property
    def id(self) -> str:
        """The call's id."""
        ...

    @property
    def definition(self) -> ToolDefinition:
        """The tool."""
        ...

    @property
    def args_digest(self) -> Digest:
        """Digest of the effective arguments."""
        ...

    @property
    def asked_digest(self) -> Digest | None:
        """Of the arguments as its caller gave them, when a person edited them since."""
        ...

    @property
    def request(self) -> str | None:
        """Id of the access request whose approval it uses up."""
        ...

    @property
    def execution(self) -> Execution:
        """How it is to be run."""
        ...

    @property
    def executor(self) -> object | None:
        """What runs it; None means its caller's own process."""
        ...

    @property
    def enforced(self) -> JsonObject:
        """What is enforced meanwhile."""
        ...

    @property
    def result(self) -> CallResult | None:
        """What it came to, once that is recorded."""
        ...


class Rings(Protocol):
    """A broker, as far as the rings around a tool call it."""

    @property
    def is_forked(self) -> bool:
        """Whether this process is a child of the one that opened it, by a fork."""
        ...

    def require_own_process(self) -> None:
        """Checks that it is not.

        Raises:
            NoSessionError: it is.
        """
        ...

    def known(self, name: str) -> ToolDefinition | None:
        """The tool of that name, or None."""
        ...

    async def call(self, session: Any, call: ToolCall) -> CallResult:
        """Takes a call through all steps."""
        ...

    async def explain(self, session: Any, call: ToolCall) -> Explanation:
        """What would be decided, without recording, asking or running anything."""
        ...

    async def admit(self, session: Any, call: ToolCall) -> Any:
        """An `Admitted`, an `Earlier` or a `Denial`."""
        ...

    async def complete(self, admission: Any) -> CallResult:
        """Runs an admitted call where it is to be run."""
        ...

    async def settle(self, admission: Any, outcome: Outcome) -> CallResult:
        """Ends an admitted call that was run by whoever was admitted."""
        ...
