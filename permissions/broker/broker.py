"""The permission broker: the policy enforcement point (PEP) between agents and tools.

Every call goes through these steps, in this order, and this file reads like it. It is longer
than others so that the whole flow of a call can be read at once; what a step does stands in
modules of its own.

 1. look up the tool (unregistered = denied) and validate the arguments with its own schema
 2. map the call to an AuthZEN evaluation request; digest the canonical arguments
 3. verify it against what a sub-agent was given, and the declared plan, if there is one
 4. add attributes: labels, where each argument came from, budgets used, isolation at hand
 5. unless a person stopped its run, agent or tool, or everything (looked at again before the
    call starts), evaluate the policy; anything but a clear answer is a deny with a reason code
 6. if the answer is "not without a person": open an access request, wait or hand back its
    id; once approved, evaluate again with the approval
 7. prepare the obligations; one that is unknown or cannot be fulfilled is a deny
 8. append the signed intent and start; if they cannot be made durable, nothing runs
 9. execute where the obligations say, under a deadline; each connection a sandboxed run wants
    to make is a question to the policy of its own
10. decide what becomes of the changes to the workspace, if it worked in an overlay: commit or
    discard; then fulfil the obligations on the result; a failure withholds it
11. append the outcome, shielded from cancellation; return the result, or a denial as data

`admit` does 1 to 8 and gives an `Admission`: permission to run one call once; `complete` does 9
to 11. A session's handle (`permissions.sessions.handle`) and the adapters use them apart where the
function runs in between, in its caller's own thread or task; `call` does both.

A refusal at any step is recorded before it is returned. If even that cannot be recorded, the
call is still refused. Not protected from: code in this process that calls the undecorated
function or changes the broker's own memory. What must not do that belongs into a sandbox.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from permissions.approval.grant import Granted
from permissions.broker import decision, entries, evaluation
from permissions.broker.call import (
    Admission,
    Attempt,
    Earlier,
    Question,
    requested_call,
)
from permissions.broker.changes import conclude
from permissions.broker.delegated import require_live
from permissions.broker.denial import Refusal, fault, refusal_of
from permissions.broker.idempotency import LiveResults, begin, earlier_run
from permissions.broker.preparation import prepared
from permissions.broker.recorder import Recorder, recording
from permissions.broker.reloading import reload
from permissions.broker.request import understand, understand_again
from permissions.broker.settlement import settled
from permissions.broker.stopped import require_not_stopped
from permissions.broker.stopping import Stopping
from permissions.errors import (
    ApprovalUsedError,
    ConfigError,
    ExecutionError,
    NoSessionError,
    ToolFailedError,
)
from permissions.execution.base import Outcome
from permissions.execution.halt import BY_PERSON
from permissions.execution.in_process import STOPPED_BEFORE, run_async
from permissions.logs import get_logger
from permissions.model import Denial
from permissions.obligations.budget import Exhausted
from permissions.reasons import Code, reason, shown
from permissions.vocabulary import ISOLATION_ORDER, barrier_after, barrier_before

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.approval.model import Approval
    from permissions.broker.evaluation import Evaluated
    from permissions.broker.explanation import Explanation
    from permissions.broker.ports import BrokerParts
    from permissions.broker.reloading import PolicySource, Reloaded
    from permissions.model import (
        AccessRequestTerms,
        CallResult,
        Decision,
        Digest,
        JsonObject,
        Reason,
    )
    from permissions.run.state import RunState
    from permissions.tools.call import ToolCall
    from permissions.tools.definition import ToolDefinition

_log = get_logger("broker.broker")

MAX_EDITS = 8
"""How often people may make another call of one; two who undo each other's edits come to an end."""


class PermissionBroker:
    """Decides, records and runs the calls of its sessions. Bound to one event loop.

    Open one with `permissions.setup.factory.open_broker`, sessions with
    `permissions.sessions.open.open_session`.
    """

    def __init__(self, parts: BrokerParts, *, source: PolicySource | None = None) -> None:
        self.parts = parts
        """What calls that are asked for now are decided with."""
        self.isolation = tuple(
            level for level in ISOLATION_ORDER if level == "none" or level in parts.executors
        )
        """Boundaries this broker can give, weakest first."""
        self.open_runs: set[str] = set()
        """Runs that have a session now."""
        self.reloaded = anyio.Event()
        """Set when other policies come into force; another one stands here from then on."""
        self._process = os.getpid()
        self._said_unrecorded = False
        self._live = LiveResults()
        self.stopping = Stopping(lambda: self.parts)
        """The calls in hand, and what ends them."""
        self._source = source
        self._reloading = anyio.Lock()

    @property
    def is_forked(self) -> bool:
        """Whether this process is a child of the one that opened the broker, by a fork."""
        return os.getpid() != self._process

    def require_own_process(self) -> None:
        """Checks that this is the process that opened the broker.

        A forked child has its memory, and neither its threads nor a record, an evaluator or a
        state of its own: waiting for them would hang, and using them would spoil the parent's.

        Raises:
            NoSessionError: it is a forked child.
        """
        if self.is_forked:
            raise NoSessionError(
                f"this process ({os.getpid()}) was forked from the one that opened the broker"
                f" ({self._process}), so nothing was run; open a broker in each worker, after"
                " the fork (gunicorn's post_fork, a pool's initializer), on a state folder of"
                " its own"
            )

    def known(self, name: str) -> ToolDefinition | None:
        """The tool of that name, or None."""
        return self.parts.registry.find(name)

    async def call(self, session: RunState, call: ToolCall) -> CallResult:
        """Takes a call through all steps.

        Raises:
            NoSessionError: this process is a forked child of the broker's.
            Exception: whatever the tool itself raised, once that is recorded.
        """
        admitted = await self.admit(session, call)
        if isinstance(admitted, Admission):
            return await self.complete(admitted)
        return admitted.result if isinstance(admitted, Earlier) else admitted

    async def explain(self, session: RunState, call: ToolCall) -> Explanation:
        """What steps 1 to 5 would say, without recording, asking or running anything."""
        self.require_own_process()
        attempt = self._attempt("explain", session, call)
        return await evaluation.explained(attempt, self.isolation)

    async def evaluate(
        self, session: RunState, call: ToolCall, *, approval: str | None = None
    ) -> Evaluated:
        """As `explain`, and recorded: for whoever enforces the answer elsewhere.

        The record ends as that of a call that never ran.

        Args:
            session: of the subject; the run in which the approval was asked for, if any.
            call: what is asked about.
            approval: id of the access request whose approval it comes with, which is used up
                when policy wants it and permits the call with it.
        """
        self.require_own_process()
        attempt = self._attempt("call", session, call)
        return await evaluation.evaluated(attempt, self.isolation, approval=approval)

    async def request(self, session: RunState, call: ToolCall) -> Evaluated:
        """As `evaluate`, and people are asked where policy wants one; nobody waits here."""
        self.require_own_process()
        attempt = self._attempt("call", session, call)
        return await evaluation.requested(attempt, self.isolation)

    async def admit(self, session: RunState, call: ToolCall) -> Admission | Earlier | Denial:
        """Steps 1 to 8: an admission, the result of an earlier run of the call, or a denial.

        Raises:
            ToolFailedError: an earlier run of this very call ended by the tool's exception.
            NoSessionError: this process is a forked child of the broker's.
        """
        self.require_own_process()
        admitted, edited, asked_digest = await self._admit_once(session, call)
        edits = 0
        while edited is not None:
            if (edits := edits + 1) > MAX_EDITS:
                return admitted
            # Another call, decided and recorded like any other, under the key of the first.
            call = replace(call, arguments=edited, caller="edit")
            admitted, edited, _ = await self._admit_once(session, call)
            if not isinstance(admitted, Denial):
                admitted = _as_edited(admitted, asked_digest)
        return admitted

    async def _admit_once(
        self, session: RunState, call: ToolCall
    ) -> tuple[Admission | Earlier | Denial, JsonObject | None, Digest | None]:
        """A decision about the call as it stands; and about which call to decide instead.

        Returns:
            The answer; what a person made of the arguments instead, if one did; and the digest
            of the arguments that were asked for then.
        """
        attempt = self._attempt("call", session, call)
        admitted: Admission | Earlier | Denial | None = None
        edited: JsonObject | None = None
        try:
            admitted = await self._admit(attempt)
        except ToolFailedError:
            raise  # how the earlier run of this very call ended
        except Refusal as refusal:
            admitted = await self._refuse(attempt, refusal)
            edited = refusal.edited
        except anyio.get_cancelled_exc_class():
            await self._refuse(attempt, Refusal("expired", reason(Code.CALL_CANCELLED)))
            raise
        except Exception as err:  # noqa: BLE001 - the boundary: whatever went wrong denies
            admitted = await self._refuse(attempt, refusal_of(err))
        finally:
            if not isinstance(admitted, Admission):
                attempt.end()
        return admitted, edited, attempt.args_digest

    async def complete(
        self, admission: Admission, injected: Mapping[str, Any] | None = None
    ) -> CallResult:
        """Steps 9 to 11 for an admitted call.

        Args:
            admission: from `admit`, not yet used.
            injected: arguments a framework fills in, by name; no policy saw them.

        Raises:
            ExecutionError: the admission was used before.
            Exception: whatever the tool itself raised, once that is recorded.
        """
        self.require_own_process()
        if admission.taken:
            raise ExecutionError(f"the admission of call {admission.id} was used before")
        admission.taken = True
        given_up = Outcome("cancelled", enforced=admission.enforced)
        try:
            with _ending(admission) as ending:
                if not ending.may_begin:
                    return await self.settle(admission, STOPPED_BEFORE)
                outcome = await self._execute(admission, injected or {})
                admission.attempt.record.note(*entries.effects(admission, outcome))
                # What was seen of the run stays, whoever gives up now.
                given_up = replace(
                    outcome, status="cancelled", value=None, error=None, pending=None
                )
                outcome = await conclude(admission.attempt.parts, admission, outcome)  # 10
            if ending.came:
                outcome = replace(given_up, status="stopped", verdict=BY_PERSON)
        except BaseException:
            await self.settle(admission, given_up)
            raise
        return await self.settle(admission, outcome)

    def _attempt(self, prefix: str, session: RunState, call: ToolCall) -> Attempt:
        parts = self.parts
        record = Recorder(parts.trace, parts.inspection, session.found)
        return Attempt(parts.ids(prefix), session, call, record, parts)

    # -- other policies -------------------------------------------------------------------

    async def reload_policies(self, *, by: str) -> Reloaded:
        """Loads the policies again from where they are named, and has them in force at once.

        Calls that are asked for from then on, and those that have not begun to run, are decided
        under them (`permissions.broker.reloading`). It is recorded before it happens.

        Args:
            by: who wants it, for the record.

        Raises:
            ConfigError: this broker's policies were given to it and lie nowhere.
            BrokerError: they must not come into force, or that cannot be recorded; those before
                stay in force. The record says that it was tried.
        """
        self.require_own_process()
        if self._source is None:
            raise ConfigError("this broker was given its policies; there is nothing to reload")
        async with self._reloading:
            return await reload(
                self.parts, self._source, by=by, put_in_force=self._put_in_force
            )

    def _put_in_force(self, parts: BrokerParts) -> None:
        self.parts = parts
        self.reloaded.set()
        self.reloaded = anyio.Event()

    # -- steps 1 to 8 ---------------------------------------------------------------------

    async def _admit(self, attempt: Attempt) -> Admission | Earlier | Denial:
        question = await understand(attempt, attempt.parts, self.isolation)  # 1, 2, 3, 4
        attempt.args_digest = question.args_digest
        require_not_stopped(attempt.parts, attempt.session, attempt.call.tool)
        earlier = await earlier_run(attempt.parts, attempt, question, self._live)
        if earlier is not None:
            return earlier
        while True:
            attempt.turn = attempt.session.turns[question.kind]
            try:
                return await self._decide(attempt, question)
            except _DecideAgainError:
                attempt.go_over(self.parts)
            except ApprovalUsedError:
                # By an identical call that was asked for at the same time: this is the next one.
                if attempt.session.turns[question.kind] == attempt.turn:
                    raise
            question = await understand_again(attempt, question, attempt.parts, self.isolation)

    def _require_in_force(self, attempt: Attempt) -> None:
        """Keeps a call from beginning under policies that were replaced while it was decided.

        Raises:
            _DecideAgainError: they were.
        """
        if attempt.parts is not self.parts:
            raise _DecideAgainError

    def _require_alone(self, attempt: Attempt) -> None:
        """Keeps two calls from beginning that policies counted as if the other was not there.

        Raises:
            _DecideAgainError: another began since this one was decided, by its history.
        """
        begun = attempt.session.history.begun
        if attempt.parts.pdp.reads_history and attempt.begun != begun:
            raise _DecideAgainError

    async def _decide(self, attempt: Attempt, question: Question) -> Admission:
        """Steps 5 to 8 for a call that did not run before."""
        decided = await decision.evaluate(attempt.parts, attempt, question.document)  # 5
        approval: Approval | Granted | None = None
        if (asks := decided.access_request) is not None:  # 6
            remembered = await self._remembered(attempt, question, asks)
            if remembered is None:
                approval, question, decided = await self._ask(
                    attempt, question, asks, decided.reasons
                )
            else:
                approval, decided = remembered
        if not decided.permitted:
            raise Refusal("denied", *decided.reasons)
        admission = prepared(
            attempt, question, decided, approval, isolation=self.isolation
        )  # 7
        await self._start(attempt, admission, approval)  # 8
        return admission

    async def _remembered(
        self, attempt: Attempt, question: Question, terms: AccessRequestTerms
    ) -> tuple[Granted, Decision] | None:
        """A remembered approval that covers the call, if policy permits it with that.

        What departs from a plan is asked about each time.
        """
        parts = attempt.parts
        if question.match is not None and question.match.verdict != "matched":
            return None
        call = requested_call(attempt, question, terms, parts.pdp.revision)
        control = tuple(sorted(question.definition.control))
        granted = await parts.approvals.granted(call, control)
        if granted is None:
            return None
        context = {**question.document["context"], "approval": question.shown(granted)}
        document = {**question.document, "context": context}
        decided = await decision.evaluate(parts, attempt, document)
        return (granted, decided) if decided.permitted else None

    async def _ask(
        self,
        attempt: Attempt,
        question: Question,
        terms: AccessRequestTerms,
        reasons: tuple[Reason, ...],
    ) -> tuple[Approval, Question, Decision]:
        """The approval, and what policy says with it of the call as it stands by then.

        While a person thought about it a plan may have expired, a label been added or a
        session been closed, so everything but the arguments is looked up again; and when they
        lead elsewhere now, the approval is not for this call.
        """
        parts = attempt.parts
        asked_for = requested_call(attempt, question, terms, parts.pdp.revision)
        asked = await decision.answered(
            parts,
            attempt,
            asked_for,
            subject=question.args_digest,
            reasons=reasons,
            document=question.document,
        )
        self._require_in_force(attempt)
        question = await understand_again(attempt, question, parts, self.isolation)
        now_asks = requested_call(attempt, question, terms, parts.pdp.revision)
        approval = await parts.approvals.verify(asked.id, binding=now_asks.binding)
        attempt.record.note(entries.approval(attempt, approval, asked.votes))
        context = {**question.document["context"], "approval": question.shown(approval)}
        document = {**question.document, "context": context}
        return approval, question, await decision.evaluate(parts, attempt, document)

    async def _start(
        self, attempt: Attempt, admission: Admission, approval: Approval | Granted | None
    ) -> None:
        """Takes what the call uses up, then makes the record durable: the last gate."""
        self._require_in_force(attempt)
        parts, session = attempt.parts, attempt.session
        is_seen = approval is not None and not isinstance(approval, Granted)
        await require_live(parts, session)  # once more: a person may have been asked
        require_not_stopped(parts, session, attempt.call.tool)
        reserved = await session.budgets.reserve(session.run, admission.terms.reservations)
        if isinstance(reserved, Exhausted):
            said = f"{reserved.name}: {reserved.used} of {reserved.limit} used"
            raise Refusal("denied", reason(Code.BUDGET_EXHAUSTED, said))
        admission.reserved = reserved
        question = admission.question.document
        try:
            self._require_alone(attempt)
        except _DecideAgainError:
            await session.budgets.release(reserved)
            raise
        if not session.take_amounts(question, approved=is_seen):
            await session.budgets.release(reserved)
            said = "another call moved an amount since this one was decided"
            raise Refusal("denied", reason(Code.BUDGET_EXHAUSTED, said))
        definition = admission.definition
        session.history.begin(
            attempt.id, tool=definition.name, effect=definition.effect, time=parts.clock()
        )
        try:
            session.reserve_step(attempt.id, admission.question.match, approved=is_seen)
            if isinstance(approval, Granted):
                use = await parts.approvals.use_grant(approval)
                attempt.record.note(entries.grant(attempt, approval, use))
            elif approval is not None:
                self._take_turn(attempt, admission.question)
                await parts.approvals.consume(approval.id, binding=approval.binding)
            await begin(parts, admission)
            admission.started = parts.clock()
            attempt.record.note(entries.start(admission))
            # The last look: what is stopped from here on finds the call in hand.
            require_not_stopped(parts, session, attempt.call.tool)
            held = self.stopping.take(admission)
            await attempt.record.flush(barrier_before(admission.terms.evidence))
            held.started.set()
        except BaseException:
            self.stopping.end(attempt.id, "not_run")
            with anyio.CancelScope(shield=True):
                session.history.drop(attempt.id)
                session.release_step(attempt.id)
                session.give_amounts_back(question)
                await session.budgets.release(reserved)
            raise
        session.count_call()

    def _take_turn(self, attempt: Attempt, question: Question) -> None:
        """Takes the use of its approval for a call without a key; nobody gives one back.

        Raises:
            ApprovalUsedError: an identical call took it.
        """
        if attempt.call.key is not None:
            return
        if attempt.session.turns[question.kind] != attempt.turn:
            raise ApprovalUsedError("an identical call of this run used the approval")
        attempt.session.turns[question.kind] += 1

    async def _refuse(self, attempt: Attempt, refusal: Refusal) -> Denial:
        """Records a refusal. One that cannot be recorded is a refusal all the same."""
        denial = Denial(
            call=attempt.id,
            tool=shown(attempt.call.tool[:64]),
            kind=refusal.kind,
            reasons=refusal.reasons,
            access_request=refusal.access_request,
        )
        if refusal.reasons[0].code == Code.EXECUTION_STATE_LOST:
            attempt.session.lost.discard(attempt.call.tool)  # told, and told once
        attempt.record.note(entries.denied(attempt, denial, refusal.votes))
        try:
            await attempt.record.flush(barrier_after(attempt.parts.evidence))
        except Exception as err:  # noqa: BLE001 - whatever fails, it stays a denial
            # A trace that failed fails for every call; that is said once.
            say = _log.debug if self._said_unrecorded else _log.error
            self._said_unrecorded = True
            say("denial_not_recorded", call=attempt.id, fault=fault(err))
        return denial

    # -- steps 9 to 11 --------------------------------------------------------------------

    async def _execute(self, admission: Admission, injected: Mapping[str, Any]) -> Outcome:
        if admission.executor is None:
            return await run_async(admission.execution, injected)
        try:
            return await admission.executor.execute(admission.execution)
        except Exception as err:  # noqa: BLE001 - an executor that fails is no reason to lose the end
            return Outcome("provider_failed", detail=fault(err), verdict="provider_error")

    async def settle(self, admission: Admission, outcome: Outcome) -> CallResult:
        """Steps 10 and 11 for a call that was executed, here or by whoever was admitted.

        Raises:
            Exception: `outcome.error`, once it is recorded.
        """
        try:
            return await settled(admission, outcome, self._live)
        finally:
            admission.attempt.end()
            self.stopping.end(admission.id, outcome.status)

    async def abandon(self, admission: Admission) -> None:
        """Leaves an admitted call in doubt: whoever was to run it is gone, and may have.

        What it reserved counts as used, and one with a key is not run again.

        Raises:
            TraceError: that cannot be recorded.
        """
        record = admission.attempt.record
        self.stopping.end(admission.id, "gap")
        record.note(entries.gap(admission))
        await record.flush(barrier_after(admission.terms.evidence))
        with recording():
            if admission.reserved is not None:
                budgets = admission.session.budgets
                await budgets.settle(admission.reserved, admission.reserved.amounts)


def _as_edited(
    admitted: Admission | Earlier, asked_digest: Digest | None
) -> Admission | Earlier:
    """What was admitted in the stead of the call that was asked for; whoever asked is told."""
    if isinstance(admitted, Earlier):
        return replace(admitted, asked_digest=asked_digest)
    admitted.asked_digest = asked_digest
    made = admitted.question.canonical.decode()
    admitted.notes = (
        f"a person changed the arguments of this call; it ran with {made}"[:1000],
    )
    return admitted


class _Ending:
    """How a run that is in hand may begin and be ended from outside."""

    __slots__ = ("_scope", "may_begin")

    def __init__(self, scope: anyio.CancelScope | None, *, may_begin: bool) -> None:
        self._scope = scope
        self.may_begin = may_begin

    @property
    def came(self) -> bool:
        """Whether it was ended."""
        return self._scope is not None and self._scope.cancelled_caught


@contextmanager
def _ending(admission: Admission) -> Iterator[_Ending]:
    """What ends a run behind a boundary.

    One in this process ends where it runs (`permissions.execution.in_process`).
    """
    halt = admission.execution.halt
    if admission.executor is None:
        yield _Ending(None, may_begin=not halt.said)
        return
    with anyio.CancelScope() as scope, halt.ending(scope) as may:
        yield _Ending(scope, may_begin=may)


class _DecideAgainError(Exception):
    """Before the call began, other policies came into force, or a call that they count began."""
