"""The port of every policy decision point.

A decision point gives one clear answer or raises. It never answers "allow" for something it
did not evaluate: undefined, malformed, late and failed evaluations are exceptions, which the
broker turns into a recorded denial (deny-biased PEP, XACML 3.0 section 7.2.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import Decision, Digest, JsonObject

ENTRYPOINT = "data.wardline.main.response"
"""The only rule ever asked for."""


class PolicyDecisionPoint(Protocol):
    """Answers evaluation requests under one policy bundle.

    Implementations are async context managers: entering starts what they need and refuses a
    bundle that must not be used, leaving stops it, by its id, within a bounded time.
    """

    @property
    def revision(self) -> Digest:
        """Digest of the policy bundle (modules and data) this decision point answers under."""
        ...

    @property
    def engine(self) -> str:
        """Name and version of the evaluator, for the record: `regorus/0.13.0`, `opa/1.22.2`."""
        ...

    @property
    def reads_history(self) -> bool:
        """Whether a policy may read `context.history`; it is left out of the input if none does."""
        ...

    async def evaluate(
        self, document: JsonObject, *, meanwhile: Callable[[], None] | None = None
    ) -> Decision:
        """Asks the entrypoint with `document` as input.

        `meanwhile` is work of the caller's that needs no answer. It is called once at most: while
        the evaluator has the question, if that saves time, or before one is asked that does not
        say when it has it. What it raises is raised, and the answer is dropped.

        Raises:
            PdpInputError: the document may not be put to a Rego engine.
            PdpTimeoutError: no answer within the deadline (seconds, from configuration).
            PdpUnavailableError: the evaluator is down or died while answering.
            PdpUndefinedError: the entrypoint has no value for this input.
            PdpAnswerError: the policy failed on this input (two rules in conflict, a builtin
                given what it cannot take), or the value breaks the contract.
        """
        ...
