"""Decisions before and after, and what they come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from permissions.model import JsonObject, Verdict
    from permissions.obligations.comparison import Shift

FailOn: TypeAlias = Literal["newly_allowed", "changed"]


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
    subject: str | None = None
    """Who asked; None when the input cannot be opened."""
    rules_before: tuple[str, ...] = ()
    rules_after: tuple[str, ...] = ()

    def document(self) -> JsonObject:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

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
    matrix: Counter[tuple[str, str]] = field(default_factory=Counter)
    by: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """The matrix by `tool`, `agent` and `rule`: kind and name, before and after. A decision counts
    under each rule that fired before or after and not both times."""
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
        names = [("tool", row.tool or "(unknown)"), ("agent", row.subject or "(unknown)")]
        names += [("rule", each) for each in {*row.rules_before} ^ {*row.rules_after}]
        for kind, name in names:
            self.by[kind, name, row.before, row.after] += 1
        if row.is_changed:
            self.changed += 1
            self.newly_allowed += row.is_newly_allowed
            self.weaker += row.terms == "weaker"
            self.asks_less += row.asks_less
            self.changed_by_run[row.run] += 1

    def merge(self, other: Summary) -> None:
        """Counts everything another one counted."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.matrix.update(other.matrix)
        self.by.update(other.by)
        self.changed_by_run.update(other.changed_by_run)

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
            **{name: getattr(self, name) for name in _COUNTS},
            "matrix": [
                {"before": before, "after": after, "count": count}
                for (before, after), count in sorted(self.matrix.items())
            ],
            "by": [
                {"kind": kind, "name": name, "before": before, "after": after, "count": count}
                for (kind, name, before, after), count in sorted(self.by.items())
            ],
            "changed_by_run": dict(self.changed_by_run),
        }

    @classmethod
    def of(cls, document: JsonObject) -> Summary:
        """The one that `document` gave this.

        Raises:
            KeyError: it gave another.
        """
        summary = cls(**{name: document[name] for name in _COUNTS})
        for each in document["matrix"]:
            summary.matrix[each["before"], each["after"]] = each["count"]
        for each in document["by"]:
            name = each["kind"], each["name"], each["before"], each["after"]
            summary.by[name] = each["count"]
        summary.changed_by_run.update(document["changed_by_run"])
        return summary


_COUNTS = (
    "decisions",
    "identical",
    "mismatched",
    "unreplayable",
    "changed",
    "newly_allowed",
    "weaker",
    "asks_less",
    "conditional",
)
