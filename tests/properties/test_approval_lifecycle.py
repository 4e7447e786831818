"""Whatever people do in whatever order, a call runs only on a quorum of the right people.

The machine drives the service over both stores side by side: they must agree, and the
invariants are stated again here, from the votes alone.
"""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
from effort import tries
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from people import GROUPS, REASON, STATE_KEYS, Clock, desk, payment, signed_vote

from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.database import StateDatabase
from permissions.errors import ApprovalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.approval.service import ApprovalService

NAMES = st.sampled_from([*GROUPS, "mallory"])
KEYHOLDERS = st.none() | NAMES
ENDS = {"approved", "denied", "expired", "cancelled"}


@dataclass(frozen=True)
class Refused:
    kind: type[ApprovalError]
    message: str


class People(RuleBasedStateMachine):
    """One call, asked for again and again; ids are the same in both stores."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.portal_context = anyio.from_thread.start_blocking_portal()
        self.portal = self.portal_context.__enter__()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        database = self.portal.call(self._open)
        self.desks: list[ApprovalService] = [
            desk(InMemoryRequestStore(), self.clock),
            desk(SqliteRequestStore(database, STATE_KEYS), self.clock),
        ]
        self.request: AccessRequest | None = None
        self.last: dict[str, AccessRequest] = {}
        self.uses: dict[str, int] = {}

    async def _open(self) -> StateDatabase:
        path = Path(self.folder.name) / "state.sqlite"
        return await self.stack.enter_async_context(StateDatabase(path, [SCHEMA]))

    def teardown(self) -> None:
        self.portal.call(self.stack.aclose)
        self.portal_context.__exit__(None, None, None)
        self.folder.cleanup()

    def both(self, work: Callable[[ApprovalService], Awaitable[Any]]) -> Any:
        """Does the same at both desks; they must give the same value or the same refusal."""
        got: list[Any] = []
        for service in self.desks:
            try:
                got.append(self.portal.call(work, service))
            except ApprovalError as err:
                got.append(Refused(type(err), str(err)))
        assert got[0] == got[1]
        return None if isinstance(got[0], Refused) else got[0]

    @initialize(
        call=st.builds(
            payment,
            quorum=st.integers(1, 2),
            separation=st.booleans(),
            groups=st.sampled_from([("finance",), ("finance", "kitchen")]),
            subject=st.sampled_from(["invoice-agent", "bob"]),
        )
    )
    def ask_first(self, call: RequestedCall) -> None:
        self.call = call
        self.ask()

    @rule()
    def ask(self) -> None:
        if (asked := self.both(lambda d: d.submit(self.call, [REASON]))) is not None:
            self.request = asked

    @rule(name=NAMES, key=KEYHOLDERS, verdict=st.sampled_from(["approve", "approve", "deny"]))
    def answer(self, name: str, key: str | None, verdict: Any) -> None:
        if self.request is not None:
            envelope = signed_vote(self.request, name, verdict, key=key)
            self.both(lambda d: d.vote(envelope))

    @rule(seconds=st.sampled_from([1, 450, 899]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def withdraw(self) -> None:
        if (request := self.request) is not None:
            self.both(lambda d: d.cancel(request.id))

    @rule()
    def use(self) -> None:
        if (request := self.request) is None:
            return
        used = self.both(lambda d: d.consume(request.id, self.call.binding))
        if used is not None:
            self.uses[used.id] = self.uses.get(used.id, 0) + 1
            self.require_permission(used)

    @rule()
    def use_for_another_call(self) -> None:
        other = payment(arguments='{"amount":"1000000.00"}')
        if (request := self.request) is not None:
            assert self.both(lambda d: d.consume(request.id, other.binding)) is None

    def require_permission(self, used: AccessRequest) -> None:
        """Stated from the specification, not from the code under test."""
        terms = self.call.terms
        voters = {vote.approver for vote in used.votes}
        assert len(voters) == len(used.votes) >= terms.quorum
        assert all(vote.verdict == "approve" for vote in used.votes)
        assert all(GROUPS[voter] & set(terms.approvers) for voter in voters)
        if terms.separation_of_duties:
            assert not voters & {"alice", self.call.subject}
        assert self.clock.now < used.expires_at

    @invariant()
    def ends_are_final_and_uses_single(self) -> None:
        for request in self.both(lambda d: d.listed(pending_only=False)):
            before = self.last.get(request.id)
            if before is not None and before.status in ENDS:
                assert request.status == before.status
                assert request.votes == before.votes
            if before is not None:
                assert request.shown == before.shown
                assert request.votes[: len(before.votes)] == before.votes
            self.last[request.id] = request
        assert all(uses == 1 for uses in self.uses.values())
        assert sum(each.status == "pending" for each in self.last.values()) <= 1


TestPeople = People.TestCase
TestPeople.settings = settings(max_examples=tries(25), stateful_step_count=25)
