"""Calls with a key run once: across resumes of a framework, processes and restarts.

The journal knows which calls were begun and how they ended. One that ended gives its result
again; one that was begun and has no end is in doubt, and goes on only for a tool that says it
may be run twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.broker.call import journal_key
from permissions.broker.denial import Refusal
from permissions.broker.result import restore
from permissions.execution.journal import Finished, Fresh, InDoubt
from permissions.logs import get_logger
from permissions.reasons import Code, reason
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from permissions.broker.call import Admission, Attempt, Question
    from permissions.broker.ports import BrokerParts
    from permissions.model import CallResult

_log = get_logger("broker.idempotency")


async def earlier_run(
    parts: BrokerParts, attempt: Attempt, question: Question
) -> CallResult | None:
    """What an earlier run of this very call came to; None when it has to be decided.

    Raises:
        Refusal: the earlier run never ended.
        ToolFailedError: it ended by the tool's exception.
        StateError: the journal cannot be read.
    """
    key = journal_key(attempt.call, attempt.session, question)
    known = None if key is None else await parts.journal.find(key)
    if isinstance(known, Finished):
        _log.info("call_replayed", call=attempt.id, tool=question.definition.name)
        return restore(question.definition, attempt.id, known)
    # A journal that was lost or restored from a backup does not know what the trace knows.
    doubtful = isinstance(known, InDoubt) or (
        key is not None
        and (digest(key.call.encode()), key.args_digest) in attempt.session.started
    )
    if doubtful and not question.definition.options.idempotent:
        raise Refusal("in_doubt", reason(Code.CALL_IN_DOUBT))
    return None


async def begin(parts: BrokerParts, admission: Admission) -> None:
    """Marks a call with a key as begun; of any number of racers one goes on.

    Raises:
        Refusal: somebody else began it.
        StateError: the journal cannot be made durable.
    """
    if (key := admission.key) is None:
        return
    known = await parts.journal.begin(key)
    admission.session.started.add((digest(key.call.encode()), key.args_digest))
    again = isinstance(known, InDoubt) and admission.definition.options.idempotent
    if known != Fresh() and not again:
        raise Refusal("in_doubt", reason(Code.CALL_IN_DOUBT))
