"""Calls with a key run once: across resumes of a framework, processes and restarts.

The journal knows which calls were begun and how they ended. One that succeeded gives its result
again. One that failed, or was begun and has no end, runs again only for a tool that says it may
be run twice; for any other the failure is told again, and why, or the call is in doubt, until a person says what became of it (`approval.resolution`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from permissions.approval.resolution import read_resolution, require_genuine
from permissions.broker import entries
from permissions.broker.call import Earlier, journal_key
from permissions.broker.denial import Refusal
from permissions.broker.result import denied_code, restore
from permissions.errors import ApprovalError
from permissions.execution.journal import Finished, Fresh, InDoubt, Resolved
from permissions.execution.pauses import PAUSED
from permissions.logs import get_logger
from permissions.model import Denial
from permissions.reasons import Code, reason
from permissions.run.state import ANY
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from permissions.broker.call import Admission, Attempt, Question
    from permissions.broker.ports import BrokerParts
    from permissions.execution.journal import JournalKey, Known
    from permissions.model import Completed
    from permissions.tools.definition import ToolDefinition
    from permissions.trace.entry import TraceEntry

_log = get_logger("broker.idempotency")

MAX_LIVE = 64
"""Results kept as Python objects; each may be large."""


class LiveResults:
    """Results that cannot be written down, for this process: the last `MAX_LIVE` of them.

    Such a result is given again as the very same object; another process says that it cannot.
    """

    def __init__(self) -> None:
        self._results: OrderedDict[JournalKey, Completed] = OrderedDict()

    def put(self, key: JournalKey, result: Completed) -> None:
        """Keeps one."""
        self._results[key] = result
        while len(self._results) > MAX_LIVE:
            self._results.popitem(last=False)

    def get(self, key: JournalKey) -> Completed | None:
        """The result of that call, or None."""
        return self._results.get(key)


async def earlier_run(
    parts: BrokerParts, attempt: Attempt, question: Question, live: LiveResults
) -> Earlier | Denial | None:
    """What an earlier run of this very call came to; None when it has to be decided.

    Raises:
        Refusal: the earlier run never ended.
        ToolFailedError: it ended by the tool's exception.
        StateError: the journal cannot be read.
    """
    if (key := journal_key(attempt.call, attempt.session, question)) is None:
        return None
    definition = question.definition
    known = await parts.journal.find(key)
    # A journal that was lost or restored from a backup does not know what the trace knows.
    (called, tool, _), started = begun(key), attempt.session.started
    if known is None and (begun(key) in started or (called, tool, ANY) in started):
        known = InDoubt(0)
    if isinstance(known, Resolved):
        return await _resolved(parts, attempt, key, known)
    if known is None or _may_run_again(definition, known):
        return None
    if isinstance(known, Finished) and (lives := live.get(key)) is not None:
        again = replace(lives, call=attempt.id, replayed=True)
        return Earlier(again, definition, question.args_digest)
    if isinstance(known, InDoubt):
        raise Refusal("in_doubt", reason(Code.CALL_IN_DOUBT))
    _log.info("call_replayed", call=attempt.id, tool=definition.name)
    restored = restore(definition, attempt.id, known)
    if isinstance(restored, Denial):
        return restored
    return Earlier(restored, definition, question.args_digest)


async def _resolved(
    parts: BrokerParts, attempt: Attempt, key: JournalKey, known: Resolved
) -> Denial | None:
    """What a person said of a call in doubt: None when it may begin anew.

    It counts when a registered approver signed it about exactly this call, and the record says of
    the call they named that its end is unknown, so that none is begun while it runs.

    Raises:
        Refusal: it does not count; the call stays in doubt.
    """
    named = {
        "key": digest(key.call.encode(errors="surrogatepass")),
        "tool": key.tool_digest,
        "args": key.args_digest,
    }
    try:
        people = await parts.approvals.approvers()
        found, approver = require_genuine(known.statement, people, run=key.run, **named)
    except ApprovalError as err:
        raise Refusal("in_doubt", reason(Code.CALL_IN_DOUBT, str(err))) from err
    history = partial(parts.history, key.run)
    named_by = key.call.encode(errors="surrogatepass")
    if not await anyio.to_thread.run_sync(_is_open_ended, history, found.about.call, named_by):
        said = (
            f"the record does not say that the end of {found.about.call} is unknown, or it was"
            " begun again and still runs"
        )
        raise Refusal("in_doubt", reason(Code.CALL_IN_DOUBT, said))
    attempt.record.note(entries.resolution(attempt, found, approver))
    if found.found != "ran":
        return None
    note = f'They said: "{found.note}"' if found.note else ""
    raise Refusal("in_doubt", reason(Code.CALL_RESOLVED, agent=note))


def _is_open_ended(history: Callable[[], Iterable[TraceEntry]], call: str, key: bytes) -> bool:
    """Whether the record says that nobody knows how a call ended, and that none like it runs.

    Blocking.
    """
    alike, running, is_known = set[str](), set[str](), False
    for entry in history():
        name = entry.call or ""
        if entry.type == "intent" and entry.contents.get("key") == key:
            alike.add(name)
        elif entry.type == "start" and name in alike:
            running.add(name)
        elif entry.type in {"outcome", "gap"}:
            running.discard(name)
            is_known = is_known or (entry.type == "gap" and name == call)
    return is_known and not running


async def begin(parts: BrokerParts, admission: Admission) -> None:
    """Marks a call with a key as begun; of any number of racers one goes on.

    Raises:
        Refusal: somebody else began it.
        StateError: the journal cannot be made durable.
    """
    if (key := admission.key) is None:
        return
    known = await parts.journal.begin(key, again=partial(_may_run_again, admission.definition))
    admission.session.started.add(begun(key))
    if known != Fresh():
        raise Refusal("in_doubt", reason(Code.CALL_IN_DOUBT))


def begun(key: JournalKey) -> tuple[str, str, str]:
    """How a session remembers a start, as the trace tells it to the next session of the run."""
    return digest(key.call.encode(errors="surrogatepass")), key.tool_digest, key.args_digest


_FAILED = {
    Code.EXECUTION_STOPPED,
    Code.EXECUTION_PROVIDER_FAILED,
    Code.CALL_CANCELLED,
    Code.STOPPED_RUN,
}
_NOTHING_RAN = {Code.STOPPED, Code.ISOLATION_UNAVAILABLE, Code.EXECUTION_STATE_LOST}


def _may_run_again(definition: ToolDefinition, known: Known) -> bool:
    """Whether a call that was begun before may begin anew.

    One that succeeded, or that somebody decided against, never does. One that failed or never
    ended does for a tool that says it may be run twice; one that never started, or that asked its
    framework to be called again, for each.
    """
    idempotent = definition.options.idempotent
    if isinstance(known, Resolved):
        return read_resolution(known.statement).found != "ran"
    if isinstance(known, InDoubt) or known.status in {"error", "not_kept"}:
        return idempotent
    if known.status == PAUSED:
        return True
    if known.status != "denied":
        return False
    code = denied_code(known)
    return code in _NOTHING_RAN or (idempotent and code in _FAILED)
