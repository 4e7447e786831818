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

from collections import Counter
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
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from permissions.model import JsonObject
    from permissions.obligations.comparison import Shift
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.vault import VaultReader

Verdict = Literal["allow", "ask", "deny"]
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
    response_digest: str
    document: JsonObject | None
    answer: Decision | None
    """What it answered, when that can be opened."""
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
    """The decisions of a log, with their opened inputs where they can be opened."""
    tools: dict[tuple[str | None, str | None], str | None] = {}
    for entry in entries:
        called = entry.run, entry.call
        if entry.type == "intent":
            tools[called] = entry.body.get("tool")
        elif entry.type in ("denied", "outcome", "gap"):
            tools.pop(called, None)
        elif entry.type == "decision":
            yield _recorded(entry, tools.get(called), vault)


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
            after, reasons = _verdict(decided), tuple(one.code for one in decided.reasons)
            identical = digest(json_bytes(decided.response)) == recorded.response_digest
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
    if recorded.answer is None:
        return "other", ("the recorded answer cannot be opened",)
    return shift(recorded.answer, decided)


def _recorded(
    entry: RecordedEntry, tool: str | None, vault: VaultReader | None
) -> RecordedDecision:
    body = entry.body
    document, problem = _open_input(entry, vault)
    return RecordedDecision(
        index=entry.index,
        run=entry.run or "",
        call=entry.call or "",
        tool=tool,
        action=str(body.get("action", "tools/call")),
        revision=str(body.get("revision")),
        engine=str(body.get("engine")),
        verdict=_recorded_verdict(body),
        reasons=tuple(str(code) for code in body.get("reasons", ())),
        response_digest=str(body.get("response_digest")),
        document=document,
        answer=_open_answer(entry, vault),
        problem=problem,
    )


def _open_answer(entry: RecordedEntry, vault: VaultReader | None) -> Decision | None:
    if vault is None:
        return None
    try:
        sealed = entry.open("response", vault)
        if digest(sealed) == entry.body.get("response_digest"):
            return Decision.from_response(orjson.loads(sealed))
    except (TraceError, PdpError, ValueError):
        pass  # said where its terms are compared
    return None


def _open_input(
    entry: RecordedEntry, vault: VaultReader | None
) -> tuple[JsonObject | None, str | None]:
    """The recorded input, or why there is none to be had."""
    if vault is None:
        return None, "the vault's key is not at hand"
    try:
        sealed = entry.open("input", vault)
        if digest(sealed) == entry.body.get("input_digest"):
            return orjson.loads(sealed), None
    except (TraceError, ValueError) as err:
        return None, str(err)
    return None, "the sealed input is not the one whose digest was recorded"


def _recorded_verdict(body: JsonObject) -> Verdict:
    if body.get("permitted") is True:
        return "allow"
    return "ask" if body.get("requestable") is True else "deny"


def _verdict(decided: Decision) -> Verdict:
    if decided.permitted:
        return "allow"
    return "deny" if decided.access_request is None else "ask"
