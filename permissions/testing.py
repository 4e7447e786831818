"""A whole broker in memory: the real flow over the in-memory twin of every port.

For tests of tools, policies and denials, without a service, a file or a wait. Only the
decision point may be real: by default the shipped policies in the embedded engine.

Nothing in here protects anything. The record is gone with the process, approvers' keys follow
from their names, and no sandbox is behind a tool.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from permissions.approval.approvers import Approver, Approvers
from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.service import ApprovalService
from permissions.approval.votes import sign_vote
from permissions.broker.broker import PermissionBroker
from permissions.broker.folders import Folders
from permissions.broker.inspection import Inspection
from permissions.broker.ports import BrokerParts
from permissions.execution.journal import InMemoryJournal
from permissions.execution.secret_files import SecretFiles
from permissions.obligations.budget import InMemoryBudgetLedger
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.memory import ScriptedPdp
from permissions.pdp.shadow import with_shadow
from permissions.run.delegation_store import InMemoryDelegationStore
from permissions.signing.keys import memory_signer
from permissions.stops.register import InMemoryStops
from permissions.tools.registry import ToolRegistry
from permissions.trace.memory import MemoryTrace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from permissions.approval.model import AccessRequest, Verdict
    from permissions.execution.base import ToolExecutor
    from permissions.model import Isolation, JsonObject, JsonValue
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.signing.keys import Signer

NOON = 1_767_268_800_000_000
"""Where a `FixedClock` begins: 2026-01-01 12:00 UTC."""


class FixedClock:
    """Microseconds since 1970 UTC that pass only when told to."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        """The time it is."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += int(seconds * 1_000_000)


class NumberedIds:
    """Gives `call-1`, `run-2`, ...: the same ids in each run of a test."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self, prefix: str) -> str:
        """The next id."""
        return f"{prefix}-{next(self._numbers)}"


@dataclass(frozen=True)
class Person:
    """An approver for tests. Whoever knows the name has the key.

    Attributes:
        name: lower-case, as in a configuration.
        groups: approver groups they belong to.
    """

    name: str = "olga"
    groups: tuple[str, ...] = ("operators",)

    @property
    def signer(self) -> Signer:
        """Their throw-away key."""
        return memory_signer(hashlib.sha256(self.name.encode()).digest())

    async def answer(
        self,
        broker: PermissionBroker,
        request: str,
        verdict: Verdict = "approve",
        *,
        note: str = "",
        arguments: JsonObject | None = None,
    ) -> AccessRequest:
        """Signs and casts this person's vote on an open access request.

        With the verdict `edit`, `arguments` are what they make of the call's.

        Raises:
            ApprovalError: they may not answer it, or it is not there or not open.
        """
        approvals, now = broker.parts.approvals, broker.parts.clock()
        asked = await approvals.get(request)
        return await approvals.vote(
            sign_vote(
                asked,
                approver=self.name,
                verdict=verdict,
                note=note,
                now=now,
                signer=self.signer,
                arguments=arguments,
            )
        )

    async def attend(self, broker: PermissionBroker, verdict: Verdict = "approve") -> None:
        """Answers every request as it comes, until cancelled. For calls that wait."""
        approvals, token = broker.parts.approvals, None
        while True:
            for asked in await approvals.listed(pending_only=True):
                if all(vote.approver != self.name for vote in asked.votes):
                    await self.answer(broker, asked.id, verdict)
            token = await approvals.changed(token)


def permitted(*obligations: JsonObject) -> JsonObject:
    """The answer of a policy that permits, with these obligations."""
    return _response(decision=True, obligations=[*obligations])


def denied(code: str = "test.denied", agent: str = "No.", operator: str = "") -> JsonObject:
    """The answer of a policy that denies."""
    said = {"code": code, "agent": agent, "operator": operator, "nearest": None}
    return _response(decision=False, reasons=[said], rules=[code])


def asking(*groups: str, quorum: int = 1, expires_in_seconds: int = 900) -> JsonObject:
    """The answer of a policy that wants people of these groups to look first."""
    terms = {
        "approvers": list(groups or ("operators",)),
        "quorum": quorum,
        "expires_in_seconds": expires_in_seconds,
        "separation_of_duties": True,
    }
    answer = denied("test.needs_person", "A person has to look.")
    answer["context"]["access_request"] = terms
    return answer


def _response(*, decision: bool, **context: JsonValue) -> JsonObject:
    empty: JsonObject = {"reasons": [], "obligations": [], "access_request": None, "rules": []}
    return {"decision": decision, "context": {**empty, **context}}


class MemoryBroker(PermissionBroker):
    """A `PermissionBroker` whose record and clock can be looked at and turned."""

    def __init__(self, parts: BrokerParts, trace: MemoryTrace, clock: FixedClock) -> None:
        super().__init__(parts)
        self.trace = trace
        """`trace.entries` is the record; `trace.fail(...)` lets the disk be full."""
        self.clock = clock


@asynccontextmanager
async def memory_broker(
    tools: Iterable[object],
    *,
    decide: Callable[[JsonObject], JsonValue] | None = None,
    policies: Path | None = None,
    overlay: Path | None = None,
    pdp: AbstractAsyncContextManager[PolicyDecisionPoint] | None = None,
    people: Iterable[Person] = (Person(),),
    workspace: Path = Path(),
    approval_mode: Literal["wait", "suspend"] = "suspend",
    executors: Mapping[Isolation, ToolExecutor] | None = None,
    inspection: Inspection | None = None,
) -> AsyncIterator[MemoryBroker]:
    """Opens a broker in memory; use `permissions.sessions.open.open_session` on it.

    Args:
        tools: decorated functions.
        decide: answers instead of the policies; see `permitted`, `denied`, `asking`.
        policies: folder of policies instead of the shipped ones.
        overlay: folder added to the policies, as in the settings.
        pdp: a decision point to ask instead, opened and closed with the broker.
        people: who may approve.
        workspace: folder that relative paths start from.
        approval_mode: whether a call that needs a person waits or comes back pending.
        inspection: what detectors look at; by default what the policies name, and nothing is
            replaced in the record.
        executors: what runs tools behind a boundary; without any, tools that need one are refused.

    Raises:
        ToolDefinitionError: a tool cannot be defined, or two share a name.
        PolicyLoadError: the policies must not be used.
    """
    clock, ids = FixedClock(), NumberedIds()
    trace = MemoryTrace(clock=clock)
    approvers = [Approver(p.name, frozenset(p.groups), p.signer.public) for p in people]
    bundle = None
    if pdp is None and decide is None:
        bundle = load_bundle(policies, overlay=overlay)
    async with pdp or _decision_point(decide, bundle) as opened:
        parts = BrokerParts(
            registry=ToolRegistry(tools),
            pdp=opened,
            approvals=ApprovalService(
                InMemoryRequestStore(),
                Approvers(approvers),
                clock=clock,
                new_id=lambda: ids("request"),
            ),
            budgets=InMemoryBudgetLedger(),
            journal=InMemoryJournal(clock=clock),
            trace=trace,
            history=lambda run: [entry for entry in trace.entries if entry.run == run],
            executors=executors or {},
            workspace=workspace,
            environment="test",
            evidence="durable",
            approval_mode=approval_mode,
            approval_wait_seconds=60,
            call_deadline_seconds=60,
            delegations=InMemoryDelegationStore(),
            stops=InMemoryStops(clock=clock),
            clock=clock,
            ids=ids,
            inspection=inspection or Inspection.of({} if bundle is None else bundle.data, ()),
            folders=Folders(None if bundle is None else SecretFiles.of(bundle.data)),
        )
        yield MemoryBroker(parts, trace, clock)


def _decision_point(
    decide: Callable[[JsonObject], JsonValue] | None, bundle: PolicyBundle | None
) -> AbstractAsyncContextManager[PolicyDecisionPoint]:
    if decide is not None:
        return ScriptedPdp(decide)
    # Tests run on busy machines.
    embedded = partial(EmbeddedPdp, hard_deadline=5)
    return with_shadow(bundle or load_bundle(), decides=embedded, would=embedded)
