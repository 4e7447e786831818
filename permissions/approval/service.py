"""The human step as the broker uses it: ask, wait, prove, use once.

The broker owns approvals, never a framework: a resume value or an `approved=True` is only a
hint to look here. Order of a held call: `find` (was it answered already?), `submit`, `wait`,
`verify`, evaluate the policy again with `Approval.document()`, `consume`, run. Nobody to ask
is an error at `submit`, never a wait without end. Longer than others because these steps share
one store and one order, and each way to be wrong about an approval is refused in its step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio

from permissions.approval import grant, lifecycle, stages, votes
from permissions.approval.grant import Granted
from permissions.approval.grant_store import InMemoryGrantStore, KeptGrant
from permissions.approval.model import (
    NO_BACKGROUND,
    AccessRequest,
    Approval,
    Background,
    RequestedCall,
)
from permissions.approval.passkey_store import Enrolled, InMemoryPasskeyStore, in_force
from permissions.errors import (
    ApprovalError,
    ApprovalInvalidError,
    ApprovalUsedError,
    ApproverRefusedError,
)
from permissions.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from permissions.approval.approvers import Approver, Approvers
    from permissions.approval.grant import Grant
    from permissions.approval.grant_store import GrantStore
    from permissions.approval.passkey_store import PasskeyStore
    from permissions.approval.store import RequestStore
    from permissions.model import Digest, Reason
    from permissions.signing.passkey import Passkey

_log = get_logger("service")

SAY_AGAIN_SECONDS = 60.0
"""How often it is said that somebody still waits."""


class ApprovalService:
    """Access requests of one broker, over a store that other processes may share.

    Every method raises `StateError` when the store fails, and `ApprovalError` for a request
    that is not there or was altered.

    Args:
        store: where requests are kept.
        approvers: who may answer, from the broker's configuration.
        clock: microseconds since 1970 UTC.
        new_id: ids of requests; unguessable is not needed, unique is.
        passkeys: further keys of those people.
        use_within_seconds: how long an approval may be used once it was given.
        announce: is told of each new request, and when another stage's turn comes; returns
            at once.
        grants: remembered approvals.
        url: where people reach the console; empty for none.
    """

    def __init__(
        self,
        store: RequestStore,
        approvers: Approvers,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        passkeys: PasskeyStore | None = None,
        use_within_seconds: int = 3600,
        announce: Callable[[AccessRequest], None] = lambda _: None,
        grants: GrantStore | None = None,
        url: str = "",
    ) -> None:
        self._store = store
        self._passkeys = passkeys or InMemoryPasskeyStore()
        self._announce = announce
        self._url = url
        self._grants = grants or InMemoryGrantStore()
        self._use_within = use_within_seconds * 1_000_000
        self._approvers = approvers
        self._clock = clock
        self._new_id = new_id

    async def approvers(self) -> Approvers:
        """Who may answer now, with the passkeys that count."""
        return self._approvers.with_passkeys(in_force(await self._passkeys.listed()))

    async def replace_approvers(self, approvers: Approvers) -> None:
        """Others may answer from now on.

        What rests on the answer of somebody who may not give it any more is void: people are
        asked anew when the call is asked for again.
        """
        self._approvers = approvers
        people = await self.approvers()
        for request in await self.listed(pending_only=False):
            lasting = lifecycle.void(request, now=self._clock()) != request
            if lasting and not _is_genuine(request, people):
                await self._store.update(
                    request.id, lambda current: lifecycle.void(current, now=self._clock())
                )

    async def passkeys(self) -> tuple[Enrolled, ...]:
        """All passkeys that were ever enrolled."""
        return await self._passkeys.listed()

    async def enrol(self, approver: str, passkey: Passkey) -> None:
        """Gives somebody a further key. Who may be given one, and on whose word, the caller checks.

        Raises:
            ApproverRefusedError: they are not in the settings.
            ApprovalError: it was enrolled before.
        """
        self._approvers.get(approver)
        await self._passkeys.enrol(Enrolled(approver, passkey, self._clock()))
        _log.info("passkey_enrolled", approver=approver, credential=passkey.credential[:20])

    async def revoke_passkey(self, credential: str) -> Enrolled:
        """Lets a passkey count no more: neither for new votes, nor for approvals not used yet.

        Raises:
            ApprovalError: there is none of that credential.
        """
        revoked = await self._passkeys.revoke(credential, self._clock())
        _log.info("passkey_revoked", approver=revoked.approver, credential=credential[:20])
        return revoked

    async def remember(self, envelope: str) -> Grant:
        """Keeps a signed grant (made by `grant.sign_grant`) from an access request.

        Raises:
            ApprovalInvalidError: it is not genuine, or wider than the call it was made from.
            ApproverRefusedError: its maker may not answer that request, or one yes is not enough.
        """
        found, approver = grant.require_genuine(envelope, await self.approvers())
        request = await self.get(found.request)
        lifecycle.require_eligible(request.call, approver)
        if request.call.terms.quorum > 1:
            raise ApproverRefusedError("what takes two people is asked about each time")
        control = tuple(request.background.document.get("control", ()))
        if not found.covers(request.call, control, now=self._clock()):
            raise ApprovalInvalidError("the grant does not cover the call it was made from")
        await self._grants.add(KeptGrant(found.id, envelope, found.uses))
        _log.info("approval_remembered", grant=found.id, approver=approver.id, tool=found.tool)
        return found

    async def grants(self) -> tuple[KeptGrant, ...]:
        """All grants that were ever made."""
        return await self._grants.listed()

    async def revoke_grant(self, name: str) -> KeptGrant:
        """Lets a grant count no more.

        Raises:
            ApprovalError: there is none of that id.
        """
        return await self._grants.revoke(name, self._clock())

    async def void_grants(self, covered: Callable[[str, str], bool]) -> tuple[str, ...]:
        """Revokes the remembered approvals of what was stopped; gives their ids.

        Args:
            covered: of a tool's name and who asks.
        """
        people, now, revoked = await self.approvers(), self._clock(), list[str]()
        for kept in await self._grants.listed():
            if kept.revoked_at is not None:
                continue
            try:
                found, _ = grant.require_genuine(kept.envelope, people)
            except ApprovalError:
                continue  # it counts for nothing
            if covered(found.tool, found.subject):
                await self._grants.revoke(kept.id, now)
                revoked.append(kept.id)
        return tuple(revoked)

    async def granted(self, call: RequestedCall, control: tuple[str, ...]) -> Granted | None:
        """A grant that covers this call, if there is one; what it is worth policy says."""
        if call.terms.quorum > 1:
            return None
        people, now = await self.approvers(), self._clock()
        for kept in await self._grants.listed():
            if kept.revoked_at is not None or kept.used >= kept.uses:
                continue
            try:
                found, approver = grant.require_genuine(kept.envelope, people)
                lifecycle.require_eligible(call, approver)
            except ApprovalError:
                continue
            if found.id == kept.id and found.covers(call, control, now=now):
                return Granted(found, approver, kept.envelope, call)
        return None

    async def use_grant(self, granted: Granted) -> int:
        """Takes one use of a grant; says which it is.

        Raises:
            ApprovalUsedError: none is left, it was revoked, or its time is over.
        """
        if self._clock() >= granted.grant.until:
            raise ApprovalUsedError(f"the grant {granted.grant.id} has expired")
        return (await self._grants.use(granted.grant.id)).used

    async def submit(
        self,
        call: RequestedCall,
        reasons: Sequence[Reason],
        background: Background = NO_BACKGROUND,
    ) -> AccessRequest:
        """Opens a request for a call, or returns the one that stands for it.

        A request stands while it is open or its approval is unused; a refusal stands for
        good, so that nobody is asked twice about one call.

        Raises:
            ApprovalError: fewer people may approve this call than have to.
        """
        people = await self.approvers()
        eligible = [each for each in people if self._may_answer(call, each)]
        if not stages.can_be_met(call.terms, eligible):
            raise ApprovalError(
                f"{call.terms.quorum} approvals are needed and {len(eligible)} registered"
                f" approvers may give one (groups: {stages.in_words(call.terms)[:200]})"
            )
        now, name = self._clock(), self._new_id()
        request = await self._store.add(
            AccessRequest(
                id=name,
                call=call,
                reasons=tuple(reasons),
                created_at=now,
                expires_at=now + call.terms.expires_in_seconds * 1_000_000,
                background=background,
                use_within=self._use_within,
            )
        )
        if request.id == name:
            self._announce(request)
        _log.info("access_request_stands", request=request.id, tool=call.tool, run=call.run)
        return request

    async def find(self, run: str, binding: Digest) -> AccessRequest | None:
        """The latest request for a call of a run, in whatever state, or None."""
        found = await self._store.of_call(run, binding)
        return await self._as_of_now(found[-1]) if found else None

    async def get(self, request_id: str) -> AccessRequest:
        """One request as it is now."""
        return await self._as_of_now(await self._store.get(request_id))

    async def listed(self, *, pending_only: bool) -> tuple[AccessRequest, ...]:
        """Requests in the order they were made."""
        found = await self._store.listed(pending_only=pending_only)
        requests = [await self._as_of_now(request) for request in found]
        return tuple(r for r in requests if r.status == "pending" or not pending_only)

    async def pending(self) -> dict[str, int]:
        """Open requests in the order they were made, each with how many votes it has.

        Opens none of them. Some may have expired since.
        """
        return await self._store.pending()

    async def several(self, ids: Sequence[str]) -> tuple[AccessRequest, ...]:
        """Those of these requests that are there, in the order they were made, as kept."""
        return await self._store.several(ids)

    async def decided(
        self, *, before: int | None, limit: int
    ) -> tuple[tuple[int, AccessRequest], ...]:
        """Requests that wait no longer, the last made first, each with its position.

        Args:
            before: a position; only those that were made before it.
            limit: how many at most.
        """
        return await self._store.decided(before=before, limit=limit)

    async def wait(self, request_id: str, timeout_seconds: float) -> AccessRequest:
        """Waits until a request leaves `pending`, or the timeout passes.

        Answers from other processes count. Cancelling leaves the request open. The log says as
        a warning that somebody waits here, for whom, and how to answer; again each minute, with
        what is left and what was answered meanwhile.
        """
        said, answered = -math.inf, 0
        ends = anyio.current_time() + timeout_seconds
        with anyio.move_on_after(timeout_seconds):
            token = await self._store.changed(None)
            while (request := await self.get(request_id)).status == "pending":
                left = (request.expires_at - self._clock()) / 1_000_000
                if anyio.current_time() >= said + SAY_AGAIN_SECONDS or answered < len(
                    request.votes
                ):
                    said, answered = anyio.current_time(), len(request.votes)
                    _log.warning(
                        "waiting_for_approval",
                        request=request.id,
                        tool=request.call.tool,
                        groups=", ".join(
                            stages.turn(request.call.terms, answered).stage.approvers
                        ),
                        approvals=f"{answered} of {request.call.terms.quorum}",
                        seconds=int(min(left, ends - anyio.current_time())),
                        answer=self._where(request),
                    )
                with anyio.move_on_after(min(left, SAY_AGAIN_SECONDS)):
                    token = await self._store.changed(token)
            return request
        return await self.get(request_id)

    def _where(self, request: AccessRequest) -> str:
        """Where to answer: the page of the console, or a command."""
        if self._url:
            return f"{self._url.rstrip('/')}/requests/{request.id}"
        return f"wardline request show {request.id}"

    async def changed(self, since: int | None) -> int:
        """Waits for any change after the token `since`; with None gives the token of now."""
        return await self._store.changed(since)

    async def verify(self, request_id: str, binding: Digest) -> Approval:
        """The approval of the call with this binding, proven from the signed votes.

        Raises:
            RequestClosedError: the request is not approved, or the approval has expired.
            ApprovalUsedError: it was used before.
            ApprovalInvalidError: it is for another call, or the votes do not carry it.
        """
        people = await self.approvers()
        return self._prove(await self._store.get(request_id), binding, people)

    async def consume(self, request_id: str, binding: Digest) -> AccessRequest:
        """Uses an approval up. Of any number of racers in any processes, one gets it.

        It is proven again in the same step, so that nothing can change in between. Durable on
        return: who dies after it has lost the approval, never gained a second use.

        Raises:
            ApprovalUsedError: somebody else was first.
            RequestClosedError: the request is not approved, or the approval has expired.
            ApprovalInvalidError: it is for another call, or the votes do not carry it.
        """
        people = await self.approvers()

        def step(request: AccessRequest) -> AccessRequest:
            self._prove(request, binding, people)
            return lifecycle.consume(request, now=self._clock())

        used = await self._store.update(request_id, step)
        _log.info("approval_consumed", request=used.id, run=used.call.run)
        return used

    async def vote(self, envelope: str) -> AccessRequest:
        """Records an approver's signed answer (made by `votes.sign_vote`).

        Raises:
            ApproverRefusedError: the voter is unknown, may not answer this request, or has.
            ApprovalInvalidError: the envelope is no genuine vote on this request.
            RequestClosedError: the request is no longer open.
        """
        vote = votes.read_vote(envelope)
        await self.get(vote.request)
        people = await self.approvers()

        def step(request: AccessRequest) -> AccessRequest:
            lifecycle.require_open(request, now=self._clock())
            approver = votes.require_genuine(vote, request, people)
            return lifecycle.cast(request, vote, approver, now=self._clock())

        voted = await self._store.update(vote.request, step)
        self._announce_turn(voted)
        _log.info(
            "vote_recorded",
            request=voted.id,
            approver=vote.approver,
            verdict=vote.verdict,
            status=voted.status,
        )
        return voted

    async def announce(self, request_id: str) -> None:
        """Has people told of a request that another process made, or voted on.

        Raises:
            ApprovalError: it is not there.
        """
        request = await self.get(request_id)
        if not request.votes and request.status == "pending":
            self._announce(request)
        self._announce_turn(request)

    def _announce_turn(self, voted: AccessRequest) -> None:
        """Has the people of a stage told that it is their turn."""
        terms, votes = voted.call.terms, len(voted.votes)
        begins = votes and stages.turn(terms, votes).begins_at == votes
        if voted.status == "pending" and begins:
            self._announce(voted)

    async def cancel(self, request_id: str) -> AccessRequest:
        """Withdraws an open request.

        Raises:
            RequestClosedError: it is no longer open.
        """
        return await self._store.update(
            request_id, lambda request: lifecycle.cancel(request, now=self._clock())
        )

    async def void(
        self, covered: Callable[[RequestedCall], bool]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Withdraws the open requests and uses up the unused approvals of what was stopped.

        Returns:
            The ids of either.
        """
        withdrawn, voided = list[str](), list[str]()

        def step(request: AccessRequest) -> AccessRequest:
            return lifecycle.void(request, now=self._clock())

        for request in await self.listed(pending_only=False):
            if step(request) != request and covered(request.call):
                before = "pending"

                def noted(current: AccessRequest) -> AccessRequest:
                    nonlocal before
                    before = current.status
                    return step(current)

                await self._store.update(request.id, noted)
                (withdrawn if before == "pending" else voided).append(request.id)
        return tuple(withdrawn), tuple(voided)

    async def _as_of_now(self, request: AccessRequest) -> AccessRequest:
        def step(current: AccessRequest) -> AccessRequest:
            return lifecycle.expire(current, now=self._clock())

        if step(request) == request:
            return request
        return await self._store.update(request.id, step)

    def _may_answer(self, call: RequestedCall, approver: Approver) -> bool:
        try:
            lifecycle.require_eligible(call, approver)
        except ApproverRefusedError:
            return False
        return bool(approver.keys)

    def _prove(self, request: AccessRequest, binding: Digest, people: Approvers) -> Approval:
        return votes.prove(request, binding=binding, approvers=people, now=self._clock())


def _is_genuine(request: AccessRequest, people: Approvers) -> bool:
    """Whether everybody who answered may have, by today's registry."""
    try:
        for position, vote in enumerate(request.votes):
            votes.require_genuine(vote, request, people, earlier=request.votes[:position])
    except ApprovalError:
        return False
    return True
