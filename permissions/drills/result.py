"""What a drill came to: one JSON document, the same for each of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from permissions.gathered import Finding, measured

if TYPE_CHECKING:
    from permissions.gathered import PartResult
    from permissions.vocabulary import JsonObject

PART: Final = "drill-"
"""What a drill's results are gathered as, before its name."""
Phase: TypeAlias = Literal["detect", "stop", "prove"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
WITHIN: Final[dict[Phase, float]] = {"detect": 60.0, "stop": 30.0, "prove": 120.0}
"""Seconds of the machine's time that each phase may take; a drill that takes longer failed."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One exercise.

    Attributes:
        title: the incident, as somebody would report it.
        runbook: the page whose steps are taken, from the root of the repository.
    """

    name: str
    title: str
    runbook: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something the runbook says to do, or that has to hold then.

    Attributes:
        kind: `command`, one of the runbook's as it stands there; `check`, a fact.
        seconds: how long it took.
        said: the line of a command's output that answers, or what was seen; shortened.
    """

    phase: Phase
    kind: Literal["command", "check"]
    what: str
    worked: bool
    seconds: float
    said: str

    def document(self) -> JsonObject:
        """As JSON."""
        return {
            "phase": self.phase,
            "kind": self.kind,
            "what": self.what,
            "worked": self.worked,
            "seconds": round(self.seconds, 3),
            "said": self.said,
        }


@dataclass(slots=True)
class Result:
    """A drill as it was played."""

    drill: Drill
    began: str
    """When, in UTC (ISO 8601)."""
    policies: str = ""
    """Revision of the policies that were in force."""
    happened: str = ""
    prevented: bool = False
    """The policies let the incident not come about: nothing was there to be found, so the times
    are of the commands alone."""
    steps: list[Step] = field(default_factory=list)
    seconds: dict[Phase, float] = field(default_factory=dict)
    """What each phase took, from the incident on."""
    fault: str = ""
    """Why it came to no end."""

    @property
    def late(self) -> list[Phase]:
        """Phases that took longer than they may."""
        return [each for each, spent in self.seconds.items() if spent > WITHIN[each]]

    @property
    def worked(self) -> bool:
        """Whether each step did what its runbook says, in time, and none is missing."""
        return (
            not self.fault
            and all(step.worked for step in self.steps)
            and set(PHASES) <= self.seconds.keys()
            and not self.late
        )

    def measured(self, *, at: int) -> PartResult:
        """As a part of what is gathered; what did not work are its findings.

        Args:
            at: now, microseconds since 1970 UTC.
        """
        findings = [
            Finding(code="drill.step_failed", text=f"{step.what}: {step.said}")
            for step in self.steps
            if not step.worked
        ]
        findings += [
            Finding(
                code="drill.late",
                text=f"{phase} took {self.seconds[phase]:.1f} s, and may take {WITHIN[phase]:g}",
            )
            for phase in self.late
        ]
        if not self.worked and not findings:
            why = self.fault or "it came to no end"
            findings.append(Finding(code="drill.not_played", text=why))
        spent = ", ".join(f"{phase} {took:.1f} s" for phase, took in self.seconds.items())
        how = "prevented by these policies; " if self.prevented else ""
        return measured(
            f"{PART}{self.drill.name}",
            f"{self.drill.title}: {how}{spent or 'nothing was timed'}",
            self.document(),
            at=at,
            findings=tuple(findings),
            policies=self.policies or None,
        )

    def document(self) -> JsonObject:
        """As JSON; what `wardline drill --json` prints."""
        return {
            "drill": self.drill.name,
            "title": self.drill.title,
            "runbook": self.drill.runbook,
            "began": self.began,
            "policies": self.policies,
            "happened": self.happened,
            "prevented": self.prevented,
            "worked": self.worked,
            "seconds": {name: round(spent, 3) for name, spent in self.seconds.items()},
            "within": dict(WITHIN),
            "late": list(self.late),
            "fault": self.fault,
            "steps": [step.document() for step in self.steps],
        }
