"""Whether two answers of the same verdict bind a call alike.

They bind by the people who must agree and by the obligations of the broker.

Pure. `weaker` when the later answer asks for less in any respect, whatever else it asks more
of; `other` when it asks for something else or more. Ids of obligations and words of reasons
bind nobody and are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from permissions.obligations.obligations import (
    MAX_WITNESSES,
    ObligationFailedError,
    ObligationUnknownError,
    prepare,
)
from permissions.vocabulary import ISOLATION_ORDER, stronger_evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import AccessRequestTerms, Decision
    from permissions.obligations.obligations import Terms

Shift = Literal["weaker", "other"]


def shift(before: Decision, after: Decision) -> tuple[Shift | None, tuple[str, ...]]:
    """How the terms of an answer changed, and which of them; None and nothing if they did not.

    Both answers have the same verdict.
    """
    found = list(_obligations(before, after))
    if before.access_request is not None and after.access_request is not None:
        found += _people(before.access_request, after.access_request)
    if not found:
        return None, ()
    names = tuple(sorted({name for name, _ in found}))
    return ("weaker" if any(weaker for _, weaker in found) else "other"), names


def _people(
    before: AccessRequestTerms, after: AccessRequestTerms
) -> Iterator[tuple[str, bool]]:
    if after.quorum != before.quorum:
        yield "quorum", after.quorum < before.quorum
    if after.stages != before.stages:
        yield "stages", not _is_stage_by_stage(before, after)
    if after.separation_of_duties != before.separation_of_duties:
        yield "separation_of_duties", not after.separation_of_duties
    if set(after.approvers) != set(before.approvers):
        # A group more means people who could not agree before.
        yield "approvers", not set(after.approvers) <= set(before.approvers)
    if after.expires_in_seconds != before.expires_in_seconds:
        yield "expires_in_seconds", False


def _is_stage_by_stage(before: AccessRequestTerms, after: AccessRequestTerms) -> bool:
    """Whether nobody agrees later who could not agree at that point before."""
    pairs = list(zip(before.stages, after.stages, strict=False))
    return len(pairs) == len(before.stages) and all(
        new.quorum >= old.quorum and set(new.approvers) <= set(old.approvers)
        for old, new in pairs
    )


def _obligations(before: Decision, after: Decision) -> Iterator[tuple[str, bool]]:
    old, new = _terms(before), _terms(after)
    if old is None or new is None:
        # One that cannot be fulfilled is a denial in the broker: compare them as written.
        if _written(before) != _written(after):
            yield "obligations", old is None
        return
    if new.isolation != old.isolation:
        order = ISOLATION_ORDER.index
        yield "sandbox", order(new.isolation) < order(old.isolation)
    if new.profile != old.profile:
        yield "sandbox profile", new.profile is None
    if (new.evidence, new.witnesses) != (old.evidence, old.witnesses):
        weaker = stronger_evidence(old.evidence, new.evidence) != new.evidence
        yield "evidence", weaker or new.witnesses < old.witnesses
    if set(new.redact) != set(old.redact):
        yield "redact", not set(new.redact) >= set(old.redact)
    if new.labels != old.labels:
        yield "label", not new.labels >= old.labels
    if new.reservations != old.reservations:
        yield (
            "budget",
            any(
                new.reservations.get(name, 0) < old.reservations[name]
                for name in old.reservations
            ),
        )
    if new.deadline_seconds != old.deadline_seconds:
        later = float("inf") if new.deadline_seconds is None else new.deadline_seconds
        yield (
            "deadline",
            old.deadline_seconds is not None and later > old.deadline_seconds,
        )


def _terms(decided: Decision) -> Terms | None:
    try:
        return prepare(
            decided.obligations,
            isolation="none",
            profile=None,
            evidence="buffered",
            quorum=MAX_WITNESSES,
        )
    except (ObligationUnknownError, ObligationFailedError):
        return None


def _written(decided: Decision) -> list[str]:
    return sorted(f"{each.type} {each.properties!r}" for each in decided.obligations)
