"""What there is for a register to name, as far as it was looked at. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.gathered import PartResult
    from permissions.vocabulary import Effect, Isolation

DRILL_PART = "drill-"
"""A drill's results are gathered as this and its name."""
DEFAULT_PROFILE = "default"


@dataclass(frozen=True, slots=True)
class KnownTool:
    """What a tool declares of itself, as far as risks are about it.

    Attributes:
        marks: kinds of its marked arguments.
        profile: sandbox profile it names; None for the default.
    """

    name: str
    effect: Effect
    isolation: Isolation
    marks: frozenset[str] = frozenset()
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a register is held to.

    Attributes:
        revision: of the policies in force.
        rules: `package/rule` in force.
        idle: packages that exist and decide nothing: of the library and not switched on, or in
            the shadow.
        tools: that are registered; None when nobody said which.
        profiles: of the settings.
        probes: cases there are.
        alerts: in the rule files.
        tested_alerts: of them, those with a test.
        plans: what is wrong with each plan that the register names; empty for a good one.
        results: the newest of each part.
    """

    revision: str
    rules: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    tools: tuple[KnownTool, ...] | None = None
    profiles: frozenset[str] = frozenset()
    probes: frozenset[int] = frozenset()
    alerts: frozenset[str] = frozenset()
    tested_alerts: frozenset[str] = frozenset()
    plans: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, PartResult] = field(default_factory=dict)

    @property
    def packages(self) -> frozenset[str]:
        """Packages in force."""
        return frozenset(rule.partition("/")[0] for rule in self.rules)
