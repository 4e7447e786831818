"""Puts each connection of a running call to the decision point, and records the answer.

A sandbox's profile lists hosts; this decides, per connection, whether the call at hand may use
one now: with its subject, plan and approval, and the labels of the session by then. Anything
but a permit that is on record is a refusal with a code: an engine that is down or unclear, a
duty it cannot keep, a session that was closed, a record that cannot be written.

Nobody is asked meanwhile. A connection that needs a person is refused, unless the approval of
its call meets what the policy asks for, which the policy itself says.

Not protected from: what goes through a connection once it is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from permissions.broker import entries
from permissions.broker.denial import Refusal, refusal_of
from permissions.broker.mapping import connection_question
from permissions.errors import TraceWriteError
from permissions.execution.base import ConnectionAnswer
from permissions.logs import get_logger
from permissions.obligations.obligations import (
    ObligationFailedError,
    ObligationUnknownError,
    prepare_late,
)
from permissions.reasons import Code, reason

if TYPE_CHECKING:
    from permissions.broker.call import Attempt
    from permissions.broker.ports import BrokerParts
    from permissions.model import Decision, Evidence, JsonObject

_log = get_logger("connections")

PERMITTED = "egress.allowed"
"""The sandbox's own word for a connection nothing stands against."""

RECORDING_SECONDS = 5.0
"""How long one record may take; less than a sandbox waits for an answer."""


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
        session, pdp = self._attempt.session, self._parts.pdp
        if session.closed:
            raise Refusal("denied", reason(Code.SESSION_CLOSED))
        question = connection_question(
            self._call,
            connection=connection,
            profile=self._profile,
            labels=session.labels,
            now=self._parts.clock(),
        )
        decided = await pdp.evaluate(question)
        code, evidence = _duties(decided, self._evidence)
        self._decisions += 1
        number = self._decisions
        entry = entries.decision(
            self._attempt,
            decided,
            question,
            revision=pdp.revision,
            engine=pdp.engine,
            connection=number,
        )
        # A run that ends meanwhile does not tear the record apart.
        with anyio.move_on_after(RECORDING_SECONDS, shield=True) as scope:
            await self._parts.trace.append([entry], evidence=evidence)
        if scope.cancelled_caught:
            raise TraceWriteError(f"the trace gave no answer in {RECORDING_SECONDS:g} s")
        if not decided.permitted:
            code = decided.reasons[0].code
        return ConnectionAnswer(permitted=code is None, code=code or PERMITTED, number=number)


def _duties(decided: Decision, evidence: Evidence) -> tuple[str | None, Evidence]:
    """The code of a duty that cannot be kept for a connection, and how durable its record is."""
    try:
        terms = prepare_late(decided.obligations, kept=("evidence",), evidence=evidence)
    except (ObligationFailedError, ObligationUnknownError) as err:
        return refusal_of(err).reasons[0].code, evidence
    return None, terms.evidence
