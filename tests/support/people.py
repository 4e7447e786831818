"""People, their keys and the calls they are asked about, for tests of the human step."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import anyio

from permissions.approval.approvers import Approver, Approvers
from permissions.approval.model import RequestedCall
from permissions.approval.service import ApprovalService
from permissions.approval.votes import sign_vote
from permissions.model import AccessRequestTerms, Digest, Reason
from permissions.run_keys import RunKeys
from permissions.signing.keys import memory_signer
from permissions.trace.vault import load_kek

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.approval.model import AccessRequest, Verdict
    from permissions.approval.store import RequestStore

STATE_KEYS = RunKeys(b"k" * 32)
"""What the state files of tests are sealed under."""
SECOND = 1_000_000
ASKED_SECONDS = 120
"""Beyond it a test fails: nobody will be asked any more."""
START = 1_795_500_000 * SECOND

KEYS = {
    name: memory_signer(bytes([number]) * 32)
    for number, name in enumerate(("alice", "bob", "carol", "dave", "mallory"), start=1)
}
GROUPS = {
    "alice": {"finance"},
    "bob": {"finance"},
    "carol": {"finance", "security"},
    "dave": {"kitchen"},
}
APPROVERS = Approvers(
    Approver(name, frozenset(groups), KEYS[name].public) for name, groups in GROUPS.items()
)
REASON = Reason(code="impact.needs_person", agent="Payments need a person.")


class Clock:
    """Microseconds since 1970 UTC that pass only when told to."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


def payment(
    *,
    quorum: int = 1,
    separation: bool = True,
    groups: tuple[str, ...] = ("finance",),
    expires_in_seconds: int = 900,
    **changes: str | None,
) -> RequestedCall:
    """A call that needs a person: alice's agent wants to pay."""
    call = RequestedCall(
        run="run-1",
        key="call-1",
        tool="send_payment",
        tool_digest=Digest("sha256:" + "a" * 64),
        arguments='{"amount":"980.00","recipient":"DE02120300000000202051"}',
        targets="[]",
        workspace="/srv/work",
        policy_revision=Digest("sha256:" + "b" * 64),
        plan_step="pay",
        subject="invoice-agent",
        on_behalf_of="user:alice",
        terms=AccessRequestTerms(
            approvers=groups,
            quorum=quorum,
            expires_in_seconds=expires_in_seconds,
            separation_of_duties=separation,
        ),
    )
    return replace(call, **changes)  # type: ignore[arg-type]  # tests name real fields


def desk(store: RequestStore, clock: Clock, *, prefix: str = "ar") -> ApprovalService:
    """The approval service over a store, with numbered ids."""
    numbers = count(1)
    return ApprovalService(
        store, APPROVERS, clock=clock, new_id=lambda: f"{prefix}-{next(numbers)}"
    )


async def first_pending(approvals: ApprovalService) -> AccessRequest:
    """What people are asked first, as soon as there is something.

    Raises:
        TimeoutError: nobody was asked anything: the call may have ended otherwise.
    """
    with anyio.fail_after(ASKED_SECONDS):
        token = await approvals.changed(None)
        while not (found := await approvals.listed(pending_only=True)):
            token = await approvals.changed(token)
    return found[0]


def swap_questions(state: Path, by: AccessRequest) -> None:
    """What an attacker who may write the state file, and has its key, puts in the place of each."""
    attacker = sqlite3.connect(state)
    attacker.execute("DROP TRIGGER access_request_final")
    keys = RunKeys(load_kek(state.parent / "keys" / "vault.key"))
    run = keys.made(attacker, by.call.run)
    found = attacker.execute("SELECT id FROM access_request").fetchall()
    for (request,) in found:
        attacker.execute(
            "UPDATE access_request SET shown = ?, binding = ?, run = ? WHERE id = ?",
            (
                run.seal(by.shown.encode(), name=f"shown {request}"),
                run.tag("binding", by.call.binding),
                by.call.run,
                request,
            ),
        )
    attacker.commit()
    attacker.close()


def signed_vote(
    request: AccessRequest,
    name: str,
    verdict: Verdict = "approve",
    *,
    key: str | None = None,
    at: int | None = None,
    note: str = "",
) -> str:
    """The signed answer of `name`, with their own key unless another is given."""
    return sign_vote(
        request,
        approver=name,
        verdict=verdict,
        note=note,
        now=request.created_at if at is None else at,
        signer=KEYS[key or name],
    )
