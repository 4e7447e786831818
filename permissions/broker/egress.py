"""Puts each connection of a running call to the decision point, and records the answer.

A sandbox's profile lists hosts; this decides, per connection, whether the call at hand may use
one now: with its subject, plan and approval, and the labels of the session by then. Anything
but a permit that is on record is a refusal with a code: an engine that is down or unclear, an
obligation it cannot fulfil, a session that was closed, a record that cannot be written.

Nobody is asked meanwhile. A connection that needs a person is refused, unless the approval of
its call meets what the policy asks for, which the policy itself says.

Not protected from: what goes through a connection once it is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.broker import decision
from permissions.broker.denial import Refusal, refusal_of
from permissions.broker.mapping import connection_question
from permissions.broker.stopped import require_not_stopped
from permissions.execution.base import ConnectionAnswer
from permissions.logs import get_logger
from permissions.obligations.obligations import (
    ObligationFailedError,
    ObligationUnknownError,
    prepare_late,
)
from permissions.reasons import Code, reason
from permissions.vocabulary import barrier_before

if TYPE_CHECKING:
    from permissions.broker.call import Attempt
    from permissions.broker.ports import BrokerParts
    from permissions.model import Decision, Evidence, JsonObject

_log = get_logger("broker.egress")

PERMITTED = "egress.allowed"
"""The sandbox's own word for a connection nothing stands against."""


class CallConnections:
    """The `ConnectionGate` of one call.

    Args:
        call: the Rego input the call was permitted with, its approval included.
        profile: name of the sandbox profile it runs in.
        evidence: how durable the record of the call is; that of its connections is no less.
    """

    def __init__(
        self,
        parts: BrokerParts,
        attempt: Attempt,
        call: JsonObject,
        *,
        profile: str | None,
        evidence: Evidence,
    ) -> None:
        self._parts = parts
        self._attempt = attempt
        self._call = call
        self._profile = profile
        self._evidence = evidence
        self._decisions = 0

    async def decide(self, connection: JsonObject) -> ConnectionAnswer:
        """The policy's answer, once it is on record."""
        try:
            return await self._decided(connection)
        except Exception as err:  # noqa: BLE001 - whatever went wrong, the connection is not made
            refusal = err if isinstance(err, Refusal) else refusal_of(err)
            code = refusal.reasons[0].code
            _log.warning("connection_undecided", call=self._attempt.id, code=code)
            return ConnectionAnswer(permitted=False, code=code, number=None)

    async def _decided(self, connection: JsonObject) -> ConnectionAnswer:
        session = self._attempt.session
        if session.closed:
            raise Refusal("denied", reason(Code.SESSION_CLOSED))
        require_not_stopped(self._parts, session, self._attempt.call.tool)
        question = connection_question(
            self._call,
            connection=connection,
            profile=self._profile,
            labels=session.labels,
            now=self._parts.clock(),
        )
        self._decisions += 1
        number = self._decisions
        decided = await decision.evaluate(
            self._parts, self._attempt, question, connection=number
        )
        code, evidence = _unfulfilled(decided, self._evidence, self._parts.witnesses)
        await self._attempt.record.flush(barrier_before(evidence))
        if not decided.permitted:
            code = decided.reasons[0].code
        return ConnectionAnswer(permitted=code is None, code=code or PERMITTED, number=number)


def _unfulfilled(
    decided: Decision, evidence: Evidence, quorum: int
) -> tuple[str | None, Evidence]:
    """The code of an obligation no connection can fulfil, and how durable its record is."""
    try:
        terms = prepare_late(
            decided.obligations, still=("evidence",), evidence=evidence, quorum=quorum
        )
    except (ObligationFailedError, ObligationUnknownError) as err:
        return refusal_of(err).reasons[0].code, evidence
    return None, terms.evidence
