"""Which calls of a log are looked for, by what the bodies of their entries say in the clear."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Those of which all that is given here holds."""

    run: str | None = None
    call: str | None = None
    tool: str | None = None
    subject: str | None = None
    """Who asked, or was acted for."""
    approver: str | None = None
    """A person who answered about it."""
    rule: str | None = None
    """The code of a rule that fired, or of a reason."""
    outcome: str | None = None
    """How it ended, in a word (`index_tables.how_ended`), or `open`."""
    since: int | None = None
    """Microseconds since 1970 UTC; the call was asked for then or later."""
    until: int | None = None
    """And before this."""
    before: int | None = None
    """Its intent is an entry before this one."""

    def condition(self) -> tuple[str, list[str | int]]:
        """As SQL over the index's `call`, and its values."""
        parts: list[str] = []
        values: list[str | int] = []
        for name, part in _CONDITIONS.items():
            if (value := getattr(self, name)) is not None:
                parts.append(part)
                values += [value] * part.count("?")
        if self.outcome == "open":
            parts.append("ended IS NULL")
        elif self.outcome is not None:
            parts.append("ended = ?")
            values.append(self.outcome)
        return " AND ".join(parts) or "1", values


_CONDITIONS = {
    "run": "call.run = ?",
    "call": "call = ?",
    "tool": "tool = ?",
    "subject": "call.run IN (SELECT run FROM run WHERE subject = ? OR behalf = ?)",
    "approver": "number IN (SELECT number FROM word WHERE kind = 'approver' AND word = ?)",
    "rule": "number IN (SELECT number FROM word WHERE kind = 'rule' AND word = ?)",
    "since": "time >= ?",
    "until": "time < ?",
    "before": "number < ?",
}
