"""Carries out stops: ends what runs in their scope, voids what was granted, and records proof.

New calls are barred by the register itself (`permissions.broker.stopped`), whatever becomes of
this. For each stop, in this order: every call in hand that it covers is ended, as far as it can
be; the stop is recorded, with what was running; open requests and unused approvals are voided;
sandboxes that wait for the next call of a covered run are removed; and after `ENDING_SECONDS` at
most it is recorded what ended when, and what could not be stopped.

A broker that dies in between does it again when it starts: what is in force is carried out then,
and what the trace does not have is recorded.

Not protected from: a tool in the caller's own process that is not async. It runs on, and the
proof names it. Nor from what a tool did before it was ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio

from permissions.broker import entries
from permissions.broker.resuming import RESUME_TOOL, lift
from permissions.broker.stopped import is_covered
from permissions.errors import BrokerError
from permissions.logs import get_logger
from permissions.stops.statement import Stop, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.broker.call import Admission
    from permissions.broker.ports import BrokerParts
    from permissions.model import AccessRequestTerms, JsonObject
    from permissions.run.delegation_store import Delegated
    from permissions.run.state import RunState
    from permissions.stops.scope import Scope
    from permissions.stops.statement import Resumption
    from permissions.trace.entry import TraceEntry

ENDING_SECONDS = 10.0
"""For what is being ended to end."""
RUNNING_ON_SECONDS = 0.5
"""For what cannot be ended to end by itself, when nothing else is waited for."""
RECORD_SECONDS = 8.0
"""For the starts under way to be recorded before the stop is."""

_log = get_logger("broker.stopping")


@dataclass(slots=True)
class InHand:
    """A call between its last check and its end."""

    admission: Admission
    started: anyio.Event = field(default_factory=anyio.Event)
    """Set once its start is recorded, or cannot be."""
    ended: anyio.Event = field(default_factory=anyio.Event)
    status: str = ""
    at: int = 0

    def form(self) -> JsonObject:
        """What the proof says of it."""
        admission = self.admission
        return {
            "call": admission.id,
            "run": admission.session.run,
            "tool": admission.definition.name,
            "isolation": admission.terms.isolation,
            "since": admission.started,
        }


@dataclass(slots=True)
class StopProof:
    """What a stop came to; every member but the fault is in the record.

    Attributes:
        running: calls that were in hand.
        ended: those that ended, how and when; `status` `granted` had not begun to run.
        not_stopped: those that run on.
        requests: open access requests that were withdrawn.
        approvals: unused approvals that were voided.
        grants: remembered approvals that were revoked; they are of tools and agents, not of runs.
        recorded: index of the entry that says so; None when it could not be recorded.
        fault: what went wrong meanwhile; empty when nothing did.
    """

    stop: Stop
    running: list[JsonObject] = field(default_factory=list)
    ended: list[JsonObject] = field(default_factory=list)
    not_stopped: list[JsonObject] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    approvals: list[str] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    recorded: int | None = None
    fault: str = ""

    def document(self) -> JsonObject:
        """As JSON, without where it is recorded."""
        return {
            "running": self.running,
            "ended": self.ended,
            "not_stopped": self.not_stopped,
            "requests": self.requests,
            "approvals": self.approvals,
            "grants": self.grants,
        }


class Stopping:
    """The calls in hand of one broker, and what stops make of them. For its event loop.

    Args:
        parts: the broker's, as they are now.
    """

    def __init__(self, parts: Callable[[], BrokerParts]) -> None:
        self._parts = parts
        self._in_hand: dict[str, InHand] = {}
        self._proofs: dict[str, StopProof] = {}
        self._met: dict[str, tuple[list[InHand], list[InHand]]] = {}
        """By stop: the calls in hand when it was met, and those that are being ended."""
        self._one = anyio.Lock()
        self.sessions: dict[str, RunState] = {}
        """The open ones, by run."""

    def take(self, admission: Admission) -> InHand:
        """A call is about to start."""
        held = self._in_hand[admission.id] = InHand(admission)
        return held

    def end(self, call: str, status: str) -> None:
        """A call has ended, with its record."""
        held = self._in_hand.pop(call, None)
        if held is not None:
            held.status, held.at = status, self._parts().clock()
            held.started.set()
            held.ended.set()

    def proof(self, stop: str) -> StopProof | None:
        """What a stop came to that was carried out here."""
        return self._proofs.get(stop)

    async def carry_out(self) -> None:
        """Carries out each stop in force that was not, and records all that was said.

        Raises:
            StateError: nobody can tell what is stopped.
        """
        self._halt()  # at once, also while another stop is waited for
        async with self._one:
            with anyio.CancelScope(shield=True):
                await self._carry_out()

    async def stop(self, scope: Scope, *, reason: str, by: str) -> StopProof:
        """Stops something, for this broker's own program (a console, say); gives the proof.

        Args:
            scope: what.
            reason: why, for the record.
            by: who said so; the word before the first space is who may not agree to lift it.

        Raises:
            StateError: it cannot be written down, and nothing is stopped.
        """
        say = partial(self._parts().stops.stop, scope, reason=reason, by=by)
        said = await anyio.to_thread.run_sync(say)
        await self.carry_out()
        return self._proofs[said.id]

    async def resume(
        self, stop: Stop, *, reason: str, by: str, terms: AccessRequestTerms | None
    ) -> Resumption | AccessRequest:
        """Lifts a stop and records it, or gives the request that has to be answered first.

        See `permissions.broker.resuming.lift`.
        """
        parts = self._parts()
        done = await lift(stop, parts.stops, parts.approvals, reason=reason, by=by, terms=terms)
        await self.carry_out()
        return done

    def _halt(self) -> None:
        """Ends what runs of each stop in force that was not met before; does not wait."""
        stops = self._parts().stops
        for each in standing(stops.statements()):
            if each.id not in self._met:
                held = [h for h in self._in_hand.values() if _covers(each.scope, h)]
                ending = [h for h in held if h.admission.execution.halt.stop()]
                self._met[each.id] = held, ending
                stops.hold(each)

    async def _carry_out(self) -> None:
        stops = self._parts().stops
        said, recorded = stops.statements(), stops.recorded
        in_force = {each.id for each in standing(said)}
        whole = True
        for at, each in enumerate(said):
            is_new = at >= recorded
            if isinstance(each, Stop):
                if each.id in self._proofs or not (is_new or each.id in in_force):
                    continue
                proof = self._proofs[each.id] = StopProof(each)
                await self._stop(proof, is_new=is_new)
                whole = whole and not proof.fault
            elif is_new:
                whole = await self._resumed(each) and whole
        if whole and len(said) > recorded:
            await anyio.to_thread.run_sync(stops.note_recorded, len(said))

    async def _stop(self, proof: StopProof, *, is_new: bool) -> None:
        scope = proof.stop.scope
        stops = self._parts().stops
        # Asked anew: it may have been lifted while another was carried out. From here on it is
        # in force for this broker until that is on record.
        in_force = any(each.id == proof.stop.id for each in standing(stops.statements()))
        stops.hold(proof.stop)
        held, ending = self._met.pop(proof.stop.id, ([], []))
        self._met[proof.stop.id] = [], []
        proof.running = [each.form() for each in held]
        _log.warning("stopped", stop=proof.stop.id, scope=scope.kind, running=len(held))
        with anyio.move_on_after(RECORD_SECONDS):
            for starting in list(self._in_hand.values()):
                await starting.started.wait()
        try:
            if is_new:
                await self._record(entries.stopped(proof.stop, proof.running))
            if in_force:
                await self._void(proof)
                await self._end_sessions(scope)
        except BrokerError as err:
            proof.fault = str(err)
            _log.error("stop_not_whole", stop=proof.stop.id, cause=str(err)[:300])
        await _wait_for(held, ending)
        for each in held:
            if each.ended.is_set():
                proof.ended.append({**each.form(), "status": each.status, "at": each.at})
            elif not each.admission.execution.halt.begun:
                proof.ended.append({**each.form(), "status": "granted", "at": each.at})
            else:
                proof.not_stopped.append({**each.form(), "why": _why(each)})
        try:
            if is_new or held:
                ended = entries.stop_ended(proof.stop, proof.document())
                proof.recorded = await self._record(ended)
        except BrokerError as err:
            proof.fault = proof.fault or str(err)
            _log.error("stop_not_recorded", stop=proof.stop.id, cause=str(err)[:300])

    async def _resumed(self, said: Resumption) -> bool:
        try:
            await self._record(entries.resumed(said))
        except BrokerError as err:
            _log.error("resumption_not_recorded", stop=said.lifts, cause=str(err)[:300])
            return False
        if said.is_signed:
            self._parts().stops.let_go(said.lifts)
        _log.warning("resumed", stop=said.lifts, signed=said.is_signed)
        return True

    async def _record(self, entry: TraceEntry) -> int:
        receipt = await self._parts().trace.append([entry], barrier="durable")
        return receipt.first

    async def _void(self, proof: StopProof) -> None:
        parts, scope = self._parts(), proof.stop.scope
        sent = {each.run: each for each in await parts.delegations.listed()}

        def covered(call: RequestedCall) -> bool:
            if call.tool == RESUME_TOOL:
                return False
            if (session := self.sessions.get(call.run)) is not None:
                return is_covered(scope, session, call.tool)
            above = list(_senders(call.run, sent))
            return scope.covers(
                runs=[call.run, *(each.parent for each in above)],
                agents=[call.subject, *(each.agent for each in above)],
                tool=call.tool,
            )

        withdrawn, voided = await parts.approvals.void(covered)
        proof.requests, proof.approvals = [*withdrawn], [*voided]
        proof.grants = [
            *await parts.approvals.void_grants(
                lambda tool, subject: scope.covers(runs=(), agents=(subject,), tool=tool)
            )
        ]

    async def _end_sessions(self, scope: Scope) -> None:
        """Removes the sandboxes that stateful tools of covered runs left waiting."""
        for session in list(self.sessions.values()):
            if not is_covered(scope, session, tool=""):
                continue
            for tool in self._parts().registry:
                if tool.options.stateful and session.history.has(tool.name):
                    session.lost.add(tool.name)
            own = (executor for _, executor in self._parts().hosted.values())
            for executor in dict.fromkeys((*self._parts().executors.values(), *own)):
                await executor.end_run(session.run)


def _covers(scope: Scope, held: InHand) -> bool:
    return is_covered(scope, held.admission.session, held.admission.definition.name)


def _senders(run: str, sent: dict[str, Delegated]) -> Iterable[Delegated]:
    """The delegations that lead to a run, its own first."""
    seen = set[str]()
    while run in sent and run not in seen:
        seen.add(run)
        yield sent[run]
        run = sent[run].parent


async def _wait_for(held: list[InHand], ending: list[InHand]) -> None:
    begun = [each for each in ending if each.admission.execution.halt.begun]
    with anyio.move_on_after(ENDING_SECONDS):
        for each in begun:
            await each.ended.wait()
    if len(begun) < len(held):
        with anyio.move_on_after(RUNNING_ON_SECONDS):
            for each in held:
                if each.admission.execution.halt.begun:
                    await each.ended.wait()


def _why(held: InHand) -> str:
    if held.admission.executor is not None:
        return f"its sandbox did not end within {ENDING_SECONDS:g} s"
    if held.admission.definition.is_async:
        return f"it did not end within {ENDING_SECONDS:g} s of being cancelled"
    return "it runs in its caller's own process, where nothing ends a sync function"
