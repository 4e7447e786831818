"""The gate's verdict: every part holds, or what does not was let by with a signature. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.assurance.exemption import exemption_of
from permissions.assurance.terms import PARTS
from permissions.gathered import Finding, PartResult, measured

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from permissions.assurance.exemption import Exemption

GATE_PART = "gate"
_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class PartVerdict:
    """What became of one part.

    Attributes:
        part: its name.
        result: what was measured; None when nothing that counts was.
        left: findings that nobody let by.
        exempted: findings with what lets them by.
        is_kept: whether it was measured before, and not in this run.
    """

    part: str
    result: PartResult | None
    left: tuple[Finding, ...]
    exempted: tuple[tuple[Finding, Exemption], ...]
    is_kept: bool

    @property
    def holds(self) -> bool:
        """Whether nothing of it stands in the way."""
        return not self.left


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The whole of it.

    Attributes:
        refused: exemptions that do not count, and why.
        unused: exemptions of findings that are there no more.
    """

    parts: tuple[PartVerdict, ...]
    revision: str
    at: int
    refused: tuple[str, ...] = ()
    unused: tuple[Exemption, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the release may go out."""
        return all(part.holds for part in self.parts)


def judge_gate(
    results: Mapping[str, PartResult],
    *,
    new: Collection[str],
    basis: Mapping[str, str],
    exemptions: Sequence[Exemption],
    refused: Sequence[str],
    revision: str,
    kept_hours: int,
    now: int,
) -> GateVerdict:
    """The verdict over the newest results.

    Args:
        results: by part.
        new: the parts that were measured in this run; the others were kept.
        basis: what each part is asked today (`Terms.basis`).
        exemptions: that hold today.
        refused: why others do not.
        revision: of the policies in force.
        kept_hours: how long a kept result counts.
        now: microseconds since 1970 UTC.
    """
    parts = []
    for part in PARTS:
        result = results.get(part)
        is_kept = part not in new
        if is_kept and (why := _stale(result, basis[part], revision, kept_hours, now)):
            found: tuple[Finding, ...] = (_absent(part, why),)
            result = None
        elif result is None or result.outcome == "not_measured":
            why = "it was not measured" if result is None else result.sentence
            found = (_absent(part, why),)
        else:
            found = result.findings
        pairs = [(each, exemption_of(each, exemptions)) for each in found]
        left = tuple(each for each, exemption in pairs if exemption is None)
        by = tuple((each, exemption) for each, exemption in pairs if exemption is not None)
        parts.append(PartVerdict(part, result, left, by, is_kept and result is not None))
    used = {exemption.finding for part in parts for _, exemption in part.exempted}
    unused = tuple(each for each in exemptions if each.finding not in used)
    return GateVerdict(tuple(parts), revision, now, tuple(refused), unused)


def _absent(part: str, why: str) -> Finding:
    return Finding(code=f"{part}.not_measured", text=f"not measured: {why}", about=part)


def _stale(
    result: PartResult | None, basis: str, revision: str, hours: int, now: int
) -> str | None:
    """Why a kept result does not count today."""
    if result is None:
        return "it was never measured"
    if result.outcome == "not_measured":
        return None  # its own sentence says more
    if not 0 <= now - result.measured_at <= hours * _HOUR:
        return f"its last result is older than {hours} hours, or from the future"
    if result.policies != revision:
        return "its last result is of other policies than those in force"
    if result.evidence.get("basis") != basis:
        return "its last result is of other thresholds, tools or files"
    return None


def gate_result(verdict: GateVerdict) -> PartResult:
    """The verdict as one more result that is kept: what the card and the packet read.

    Its evidence names each part with the digest of what was measured, and each exemption.
    """
    left = tuple(finding for part in verdict.parts for finding in part.left)
    return measured(
        GATE_PART,
        sentence(verdict),
        {
            "parts": [
                {
                    "part": each.part,
                    "holds": each.holds,
                    "kept": each.is_kept,
                    "outcome": "not_measured" if each.result is None else each.result.outcome,
                    "sentence": "" if each.result is None else each.result.sentence,
                    "evidence_digest": None
                    if each.result is None
                    else each.result.evidence_digest,
                    "measured_at": None if each.result is None else each.result.measured_at,
                    "left": [one.id for one in each.left],
                    "exempted": [
                        {"id": one.id, **exemption.model_dump(mode="json")}
                        for one, exemption in each.exempted
                    ],
                }
                for each in verdict.parts
            ],
            "refused": [*verdict.refused],
            "unused": [each.model_dump(mode="json") for each in verdict.unused],
        },
        findings=left,
        policies=verdict.revision,
        at=verdict.at,
    )


def sentence(verdict: GateVerdict) -> str:
    """The verdict in a sentence."""
    red = [part.part for part in verdict.parts if not part.holds]
    let_by = sum(len(part.exempted) for part in verdict.parts)
    by = f"; {let_by} finding(s) let by with a signature" if let_by else ""
    if not red:
        return f"the release gate holds: {len(verdict.parts)} parts{by}"
    of = f"{len(red)} of {len(verdict.parts)} parts"
    return f"the release gate does not hold: {of} ({', '.join(red)}){by}"
