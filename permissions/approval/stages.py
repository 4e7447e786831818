"""Stages of an access request: first these people, then those. Pure.

Votes count in the order in which they were cast, and the first that a stage needs are its own: as each
is cast only by somebody whose turn it is, the number of a vote says its stage. Without stages all are of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import ApprovalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from permissions.approval.approvers import Approver
    from permissions.model import AccessRequestTerms, ApprovalStage


class Turn(NamedTuple):
    """Whose turn it is.

    Attributes:
        number: of the stage, from 0.
        begins_at: the number of the stage's first vote.
        missing: how many votes the stage still waits for.
    """

    number: int
    stage: ApprovalStage
    begins_at: int
    missing: int


def turn(terms: AccessRequestTerms, votes: int) -> Turn:
    """Whose turn it is after that many votes; the last stage's when all were cast."""
    begins = 0
    for number, stage in enumerate(terms.order):
        ends = begins + stage.quorum
        if votes < ends or number == len(terms.order) - 1:
            return Turn(number, stage, begins, max(0, ends - votes))
        begins = ends
    raise ApprovalError("the terms have no stage")


def can_be_met(terms: AccessRequestTerms, people: Iterable[Approver]) -> bool:
    """Whether these people are enough, when each answers in one stage alone.

    Finds somebody for each vote that is needed, and has who was found before stand in for
    another where that helps (a matching by augmenting paths).
    """
    needed = [stage.approvers for stage in terms.order for _ in range(stage.quorum)]
    able = list(people)
    found: dict[str, int] = {}

    def assign(vote: int, seen: set[str]) -> bool:
        for person in able:
            if person.id in seen or person.groups.isdisjoint(needed[vote]):
                continue
            seen.add(person.id)
            if person.id not in found or assign(found[person.id], seen):
                found[person.id] = vote
                return True
        return False

    return all(assign(vote, set()) for vote in range(len(needed)))


def in_words(terms: AccessRequestTerms) -> str:
    """Who has to agree: `1 of finance, then 2 of legal, security`."""
    return ", then ".join(
        f"{stage.quorum} of {', '.join(stage.approvers)}" for stage in terms.order
    )
