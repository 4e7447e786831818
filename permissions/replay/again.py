"""Makes recorded decisions again."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import orjson

from permissions.broker.entries import json_bytes
from permissions.errors import (
    PdpAnswerError,
    PdpError,
    PdpInputError,
    PdpUndefinedError,
)
from permissions.model import Decision
from permissions.obligations.comparison import shift
from permissions.reasons import Code
from permissions.replay.rows import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from permissions.model import JsonObject, Verdict
    from permissions.obligations.comparison import Shift
    from permissions.pdp.embedded.pdp import EmbeddedPdp
    from permissions.replay.recorded import RecordedDecision

AT_ONCE = 32
"""Decisions that are asked for together."""
_UNCLEAR: dict[type[PdpError], Code] = {
    PdpUndefinedError: Code.POLICY_UNDEFINED,
    PdpAnswerError: Code.POLICY_ANSWER_INVALID,
    PdpInputError: Code.ARGUMENTS_UNREPRESENTABLE,
}
"""Answers that are none, and the denial each of them is in the broker."""


async def replay(
    decisions: Iterable[RecordedDecision],
    *,
    under: Callable[[RecordedDecision], EmbeddedPdp | None],
) -> AsyncIterator[Row]:
    """Decides each of them again; the rows come in the same order.

    Args:
        decisions: from `recorded_decisions`.
        under: the decision point for a recorded decision: the one of that very bundle, in
            the form it was evaluated in (identity), or always the same (what-if); None when
            there is none.
    """
    departed: set[str] = set()
    rest = iter(decisions)
    while window := list(islice(rest, AT_ONCE)):
        points = [under(each) for each in window]
        answers = await _answers(window, points)
        for at, (recorded, pdp) in enumerate(zip(window, points, strict=True)):
            conditional = recorded.run in departed
            row = _row(recorded, answers.get(at), missing=pdp is None, conditional=conditional)
            if row.is_changed:
                departed.add(recorded.run)
            yield row


async def _answers(
    window: Sequence[RecordedDecision], points: Sequence[EmbeddedPdp | None]
) -> dict[int, Decision | PdpError]:
    """By their position, what those that can be asked about come to."""
    asked: dict[EmbeddedPdp, dict[int, JsonObject]] = {}
    for at, (recorded, pdp) in enumerate(zip(window, points, strict=True)):
        if pdp is not None and recorded.problem is None and recorded.document is not None:
            asked.setdefault(pdp, {})[at] = recorded.document
    answers: dict[int, Decision | PdpError] = {}
    for pdp, documents in asked.items():
        found = await pdp.evaluate_all(list(documents.values()))
        answers.update(zip(documents, found, strict=True))
    return answers


def _row(
    recorded: RecordedDecision,
    answer: Decision | PdpError | None,
    *,
    missing: bool,
    conditional: bool,
) -> Row:
    after: Verdict | None = None
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    identical, problem = False, recorded.problem
    terms: Shift | None = None
    changed: tuple[str, ...] = ()
    if missing:
        problem = problem or f"the bundle {recorded.revision[:23]} is not in the state folder"
    if isinstance(answer, Decision):
        after, reasons = answer.verdict, tuple(one.code for one in answer.reasons)
        rules = answer.rules
        identical = json_bytes(answer.response) == recorded.response
        if not identical and after == recorded.verdict != "deny":
            terms, changed = _terms(recorded, answer)
    elif answer is not None and (unclear := _UNCLEAR.get(type(answer))) is not None:
        after, reasons = "deny", (unclear,)
    elif answer is not None:
        problem = f"the decision point did not answer: {str(answer)[:200]}"
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
        subject=(recorded.document or {}).get("subject", {}).get("id"),
        rules_before=recorded.rules,
        rules_after=rules,
    )


def _terms(
    recorded: RecordedDecision, decided: Decision
) -> tuple[Shift | None, tuple[str, ...]]:
    try:
        answer = Decision.from_response(orjson.loads(recorded.response or b""))
    except (PdpError, ValueError):
        return "other", ("the recorded answer cannot be opened",)
    return shift(answer, decided)
