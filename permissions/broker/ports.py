"""What a broker is built from: one port per stage, and the few settings of the flow."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from permissions.broker.control_plane import ControlPlane
from permissions.broker.folders import Folders
from permissions.broker.inspection import Inspection
from permissions.broker.policy_use import PolicyUse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Literal

    from permissions.approval.service import ApprovalService
    from permissions.execution.base import ToolExecutor
    from permissions.execution.journal import ExecutionJournal
    from permissions.model import Evidence, Isolation
    from permissions.obligations.budget import BudgetLedger
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.run.delegation_store import DelegationStore
    from permissions.stops.register import StopRegister
    from permissions.tools.registry import ToolRegistry
    from permissions.trace.entry import TraceEntry, TraceLog


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def random_id(prefix: str) -> str:
    """A name nobody can guess or meet twice: the prefix and 80 random bits."""
    return f"{prefix}-{secrets.token_hex(10)}"


@dataclass(frozen=True, slots=True)
class BrokerParts:
    """Everything a `PermissionBroker` uses. Whoever opened the parts closes them.

    Attributes:
        executors: one per boundary this machine can give, beside the caller's process.
        hosted: tools that run in a sandbox of their own, by name, with its boundary; they run
            nowhere else.
        budgets: durable, for sessions with limits.
        history: what the trace holds of a run, in order; blocking.
        evidence: weakest evidence level of any call.
        approval_wait_seconds: longest wait for a person inside one call.
        control_plane: the broker's own files, which no call may name.
        delegations: which runs were delegated, and which were revoked.
        stops: what people stopped.
        folders: which folders hold secrets, for tools of this process.
        use: which calls are decided under `pdp`.
        inspection: what is looked for in calls, results and records.
        witnesses: how many the evidence level `witnessed` waits for.
        clock: microseconds since 1970 UTC.
        ids: gives a fresh id for a prefix (`run`, `call`, ...).
    """

    registry: ToolRegistry
    pdp: PolicyDecisionPoint
    approvals: ApprovalService
    budgets: BudgetLedger
    journal: ExecutionJournal
    trace: TraceLog
    history: Callable[[str], Iterable[TraceEntry]]
    executors: Mapping[Isolation, ToolExecutor]
    workspace: Path
    environment: str
    evidence: Evidence
    approval_mode: Literal["wait", "suspend"]
    approval_wait_seconds: float
    call_deadline_seconds: float
    delegations: DelegationStore
    stops: StopRegister
    control_plane: ControlPlane = field(default_factory=ControlPlane)
    folders: Folders = field(default_factory=Folders)
    use: PolicyUse = field(default_factory=PolicyUse, compare=False)
    inspection: Inspection = field(default_factory=Inspection)
    hosted: Mapping[str, tuple[Isolation, ToolExecutor]] = field(default_factory=dict)
    witnesses: int = 0
    clock: Callable[[], int] = now_us
    ids: Callable[[str], str] = random_id
