"""What would be decided for a call, and why, without running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from permissions.model import (
        Decision,
        JsonObject,
        Obligation,
        Reason,
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision as it would be made now.

    Attributes:
        verdict: `allow`, `ask` (a person may lift the denial) or `deny`.
        rules: codes of the policy rules that fired.
        approvers: groups that could lift it, when the verdict is `ask`.
        facts: the input policies were asked with; None when the call got no further than
            the broker itself.
    """

    tool: str
    verdict: Literal["allow", "ask", "deny"]
    reasons: tuple[Reason, ...]
    rules: tuple[str, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    approvers: tuple[str, ...] = ()
    facts: JsonObject | None = None

    @classmethod
    def of_refusal(cls, tool: str, reasons: tuple[Reason, ...]) -> Explanation:
        """The broker itself would refuse the call."""
        return cls(tool, "deny", reasons)

    @classmethod
    def of_decision(cls, tool: str, decided: Decision, facts: JsonObject) -> Explanation:
        """Policy would say this."""
        asks = decided.access_request
        return cls(
            tool,
            "allow" if decided.permitted else "ask" if asks else "deny",
            decided.reasons,
            decided.rules,
            decided.obligations,
            asks.approvers if asks else (),
            facts,
        )

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [f"{self.tool}: {self.verdict}"]
        lines += [f"  because {r.agent} [{r.code}]" for r in self.reasons]
        if self.rules:
            lines.append(f"  rules   {', '.join(self.rules)}")
        if self.obligations:
            lines.append(f"  must    {', '.join(o.type for o in self.obligations)}")
        if self.approvers:
            lines.append(f"  ask     {', '.join(self.approvers)}")
        return "\n".join(lines)
