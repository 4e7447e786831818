"""Decides recorded decisions again: under their own bundle, and under another.

*Identity*: the sealed input of every `decision` entry, evaluated under the recorded bundle,
must give the recorded answer byte for byte. Anything else is a finding: the record, the
engine or the bundle is not what it was.

*What-if*: the same inputs under another bundle, as a matrix of before and after. Once one
decision of a run comes out differently, the run would have gone on differently too, so the
rest of it is marked conditional. What cannot be replayed is listed with the reason, never
left out. An answer of the same verdict that binds the call otherwise is a change as well. An
engine that gives no clear answer counts as a denial, as in the broker.

Neither knows what a person would have said to a request that was not made at the time.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import orjson

from permissions.broker.entries import json_bytes
from permissions.errors import (
    PdpAnswerError,
    PdpError,
    PdpInputError,
    PdpUndefinedError,
    TraceError,
)
from permissions.model import Decision
from permissions.obligations.comparison import shift
from permissions.reasons import Code
from permissions.run.state import HISTORY
from permissions.trace.patch import patched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from permissions.model import JsonObject, Verdict
    from permissions.obligations.comparison import Shift
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.vault import VaultReader

FailOn = Literal["newly_allowed", "changed"]
_UNCLEAR: dict[type[PdpError], Code] = {
    PdpUndefinedError: Code.POLICY_UNDEFINED,
    PdpAnswerError: Code.POLICY_ANSWER_INVALID,
    PdpInputError: Code.ARGUMENTS_UNREPRESENTABLE,
}
"""Answers that are none, and the denial each of them is in the broker."""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as it was recorded; `problem` says why it cannot be replayed.

    `action` is what was asked about: the call itself, or what it did while it ran.
    """

    index: int
    run: str
    call: str
    tool: str | None
    action: str
    revision: str
    engine: str
    verdict: Verdict
    reasons: tuple[str, ...]
    document: JsonObject | None
    response: bytes | None
    """What it answered, to the byte; None when that cannot be opened."""
    problem: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One decision, before and after.

    `after` is None when it could not be made again (`problem` says why). `identical` says
    whether the answer is byte-equal to the recorded one. With an unchanged verdict `terms`
    says whether the call is bound otherwise, and `terms_changed` in which respects.
    """

    index: int
    run: str
    call: str
    tool: str | None
    action: str
    before: Verdict
    after: Verdict | None
    reasons_before: tuple[str, ...]
    reasons_after: tuple[str, ...]
    identical: bool
    conditional: bool
    problem: str | None
    terms: Shift | None = None
    terms_changed: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether it would have been decided differently, or on other terms."""
        differs = self.after is not None and self.after != self.before
        return differs or self.terms is not None

    @property
    def asks_less(self) -> bool:
        """Whether people were asked then, and are asked on weaker terms now."""
        return self.before == "ask" and self.terms == "weaker"

    @property
    def is_newly_allowed(self) -> bool:
        """Whether something would run that did not run then."""
        return self.after == "allow" and self.before != "allow"


@dataclass(slots=True)
class Summary:
    """What a replay came to."""

    decisions: int = 0
    identical: int = 0
    matrix: Counter[tuple[Verdict, Verdict]] = field(default_factory=Counter)
    changed_by_tool: Counter[str] = field(default_factory=Counter)
    changed_by_run: Counter[str] = field(default_factory=Counter)
    changed: int = 0
    newly_allowed: int = 0
    weaker: int = 0
    asks_less: int = 0
    conditional: int = 0
    unreplayable: int = 0
    mismatched: int = 0

    def add(self, row: Row) -> None:
        """Counts one row."""
        self.decisions += 1
        self.conditional += row.conditional
        if row.after is None:
            self.unreplayable += 1
            return
        self.identical += row.identical
        self.mismatched += not row.identical
        self.matrix[row.before, row.after] += 1
        if row.is_changed:
            self.changed += 1
            self.newly_allowed += row.is_newly_allowed
            self.weaker += row.terms == "weaker"
            self.asks_less += row.asks_less
            self.changed_by_tool[row.tool or "(unknown)"] += 1
            self.changed_by_run[row.run] += 1

    def fails(self, on: FailOn) -> bool:
        """Whether CI should stop: also when there was something, and none of it replayed."""
        if self.decisions and self.decisions == self.unreplayable:
            return True
        if on == "newly_allowed":
            return bool(self.newly_allowed or self.asks_less)
        return bool(self.changed)

    def differs(self) -> bool:
        """Whether a recorded answer could not be shown to be the one the bundle gives."""
        return bool(self.mismatched or self.unreplayable)

    def document(self) -> JsonObject:
        """As JSON."""
        return {
            "decisions": self.decisions,
            "identical": self.identical,
            "mismatched": self.mismatched,
            "unreplayable": self.unreplayable,
            "changed": self.changed,
            "newly_allowed": self.newly_allowed,
            "weaker": self.weaker,
            "asks_less": self.asks_less,
            "conditional": self.conditional,
            "matrix": [
                {"before": before, "after": after, "count": count}
                for (before, after), count in sorted(self.matrix.items())
            ],
            "changed_by_tool": dict(self.changed_by_tool),
            "changed_by_run": dict(self.changed_by_run),
        }


def recorded_decisions(
    entries: Iterable[RecordedEntry], vault: VaultReader | None
) -> Iterator[RecordedDecision]:
    """The decisions of a log, with their opened inputs where they can be opened.

    The history of the run, which an input holds only when a policy in force reads it, is put
    back from the log, so that a policy that reads it can be tried.
    """
    calls: dict[tuple[str | None, str | None], _Call] = {}
    histories: dict[str, deque[JsonObject]] = {}
    in_force: JsonObject = {}
    for entry in entries:
        called, run = (entry.run, entry.call), entry.run or ""
        if entry.type == "config":
            in_force = {
                "revision": entry.body.get("policy"),
                "engine": entry.body.get("engine"),
            }
        elif entry.type == "intent":
            calls[called] = _Call(entry.body.get("tool"), entry.body.get("effect"))
        elif entry.type == "start" and called in calls:
            calls[called].started = True
        elif entry.type in ("denied", "outcome", "gap"):
            call = calls.pop(called, _Call())
            if call.started:
                status = entry.body.get("status", "unknown")
                ended = {"tool": call.tool, "effect": call.effect, "outcome": status}
                histories.setdefault(run, deque(maxlen=HISTORY)).append(ended)
        elif entry.type == "decision":
            call = calls.setdefault(called, _Call())
            body = {**in_force, **entry.body}
            yield _recorded(entry, body, call, histories.get(run, ()), vault)


@dataclass(slots=True)
class _Call:
    tool: str | None = None
    effect: str | None = None
    started: bool = False
    asked: JsonObject | None = None
    """What was asked first about it; later inputs are recorded as what is other."""


async def replay(
    decisions: Iterable[RecordedDecision],
    *,
    under: Callable[[RecordedDecision], PolicyDecisionPoint | None],
) -> AsyncIterator[Row]:
    """Decides each of them again.

    Args:
        decisions: from `recorded_decisions`.
        under: the decision point for a recorded decision: the one of that very bundle, in
            the form it was evaluated in (identity), or always the same (what-if); None when
            there is none.
    """
    departed: set[str] = set()
    for recorded in decisions:
        row = await _decide_again(recorded, under, conditional=recorded.run in departed)
        if row.is_changed:
            departed.add(recorded.run)
        yield row


async def _decide_again(
    recorded: RecordedDecision,
    under: Callable[[RecordedDecision], PolicyDecisionPoint | None],
    *,
    conditional: bool,
) -> Row:
    after: Verdict | None = None
    reasons: tuple[str, ...] = ()
    identical, problem = False, recorded.problem
    terms: Shift | None = None
    changed: tuple[str, ...] = ()
    pdp = under(recorded)
    if pdp is None:
        problem = problem or f"the bundle {recorded.revision[:23]} is not in the state folder"
    if problem is None and pdp is not None and recorded.document is not None:
        try:
            decided = await pdp.evaluate(recorded.document)
        except tuple(_UNCLEAR) as err:
            after, reasons = "deny", (_UNCLEAR[type(err)],)
        except PdpError as err:
            problem = f"the decision point did not answer: {str(err)[:200]}"
        else:
            after, reasons = decided.verdict, tuple(one.code for one in decided.reasons)
            identical = json_bytes(decided.response) == recorded.response
            if not identical and after == recorded.verdict != "deny":
                terms, changed = _terms(recorded, decided)
    return Row(
        index=recorded.index,
        run=recorded.run,
        call=recorded.call,
        tool=recorded.tool,
        action=recorded.action,
        before=recorded.verdict,
        after=after,
        reasons_before=recorded.reasons,
        reasons_after=reasons,
        identical=identical,
        conditional=conditional,
        problem=problem,
        terms=terms,
        terms_changed=changed,
    )


def _terms(
    recorded: RecordedDecision, decided: Decision
) -> tuple[Shift | None, tuple[str, ...]]:
    try:
        answer = Decision.from_response(orjson.loads(recorded.response or b""))
    except (PdpError, ValueError):
        return "other", ("the recorded answer cannot be opened",)
    return shift(answer, decided)


def _recorded(
    entry: RecordedEntry,
    body: JsonObject,
    call: _Call,
    history: Iterable[JsonObject],
    vault: VaultReader | None,
) -> RecordedDecision:
    document, problem = _open_input(entry, call, vault)
    if document is not None and "history" not in document.get("context", {"history": None}):
        document = {**document, "context": {**document["context"], "history": list(history)}}
    return RecordedDecision(
        index=entry.index,
        run=entry.run or "",
        call=entry.call or "",
        tool=call.tool,
        action=str(body.get("action", "tools/call")),
        revision=str(body.get("revision")),
        engine=str(body.get("engine")),
        verdict=_recorded_verdict(body),
        reasons=tuple(str(code) for code in body.get("reasons", ())),
        document=document,
        response=_open_response(entry, vault),
        problem=problem,
    )


def _open_response(entry: RecordedEntry, vault: VaultReader | None) -> bytes | None:
    try:
        return None if vault is None else entry.open("response", vault)
    except TraceError:
        return None  # told where answers are compared


def _open_input(
    entry: RecordedEntry, call: _Call, vault: VaultReader | None
) -> tuple[JsonObject | None, str | None]:
    """The recorded input, or why there is none to be had."""
    if vault is None:
        return None, "the vault's key is not at hand"
    try:
        if "input_patch" not in entry.digests:
            call.asked = orjson.loads(entry.open("input", vault))
            return call.asked, None
        if call.asked is None:
            return None, "the first input of its call cannot be opened"
        return patched(call.asked, orjson.loads(entry.open("input_patch", vault))), None
    except (TraceError, ValueError) as err:
        return None, str(err)


def _recorded_verdict(body: JsonObject) -> Verdict:
    if body.get("permitted") is True:
        return "allow"
    return "ask" if body.get("requestable") is True else "deny"
