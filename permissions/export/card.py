"""A card of what was recorded, counted from the entries: for whoever has to judge the system."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from permissions.export.blocks import Bullets, Heading, Table, Text, markdown
from permissions.export.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.export.blocks import Block
    from permissions.export.calls import Call
    from permissions.export.opened import OpenedEntry
    from permissions.model import JsonObject
    from permissions.trace.report import Report

LIMITS = (
    "A call that went around the broker is not in this record.",
    "A tool may have done something else than it said; what it was seen to do stands as effects.",
    "Whoever holds the log's key can have written another past since the last kept checkpoint.",
    "Times are those of the machine that wrote the log.",
)


class Card:
    """Counts entries and calls as they pass."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._runs: set[str] = set()
        self._subjects: Counter[str] = Counter()
        self._facts: dict[str, Counter[str]] = {
            name: Counter()
            for name in (
                "build", "engine", "policy", "registry", "environment", "isolation", "evidence",
                "reason", "rule", "approver", "end", "connection", "changes",
            )
        }  # fmt: skip
        self._tools: Counter[tuple[str, str, str]] = Counter()
        self._asked = self._resumed = 0

    def entry(self, opened: OpenedEntry) -> None:
        """Counts an entry."""
        entry = opened.recorded
        body: Any = entry.body
        self._times = [(self._times or [entry.time])[0], entry.time]
        if entry.run:
            self._runs.add(entry.run)
        match entry.type:
            case "config":
                for name in ("build", "engine", "policy", "registry", "environment"):
                    self._count(name, body.get(name))
            case "run.start":
                subject = body.get("subject") or {}
                self._subjects[f"{subject.get('type')} {subject.get('id')}"] += 1
            case "start":
                self._count("isolation", body.get("isolation"))
                self._count("evidence", body.get("evidence"))
            case "effect":
                kind = body.get("kind")
                if kind == "connection":
                    self._count(kind, "made" if body.get("permitted") else "refused")
                elif kind == "fate":
                    self._count("changes", body.get("fate"))

    def call(self, call: Call) -> None:
        """Counts a call."""
        self._tools[
            str(call.tool or "(not registered)"), str(call.effect), str(call.impact)
        ] += 1
        self._count("end", f"{call.end}: {call.status}" if call.status else call.end)
        self._asked += call.asked
        for name, found in (
            ("reason", call.reasons), ("rule", call.rules), ("approver", call.approvers)
        ):  # fmt: skip
            for each in found:
                self._count(name, each)

    def text(self, report: Report) -> str:
        """The card, as Markdown."""
        title = Heading(1, "What was recorded")
        return markdown((title, *recorded_blocks(self.document(report))))

    def document(self, report: Report) -> JsonObject:
        """What was counted, as JSON: what the system card has of it, too."""
        integrity, completeness = report.integrity, report.completeness
        first, last = (*self._times, 0, 0)[:2] if self._times else (0, 0)
        return {
            "log": integrity.origin,
            "entries": integrity.size,
            "first": first,
            "last": last,
            "integrity": integrity.verdict,
            "anchoring": report.anchoring,
            "is_whole": completeness.is_whole,
            "findings": completeness.findings_count,
            "gaps": completeness.gaps,
            "runs": len(self._runs),
            "calls": self._tools.total(),
            "asked": self._asked,
            "tools": [[*names, count] for names, count in self._tools.most_common()],
            "subjects": [[*pair] for pair in self._subjects.most_common()],
            "counted": {
                name: [[*pair] for pair in found.most_common()]
                for name, found in self._facts.items()
            },
        }

    def _count(self, name: str, value: object) -> None:
        if value is not None:
            self._facts[name][str(value)] += 1


def counted(entries: Iterable[OpenedEntry]) -> Card:
    """The card of all of these entries."""
    card, calls = Card(), Calls()
    for each in entries:
        card.entry(each)
        if (ended := calls.take(each)) is not None:
            card.call(ended)
    for left in calls.left():
        card.call(left)
    return card


_TITLES = {
    "end": "How calls ended", "reason": "Reasons given", "rule": "Rules that decided",
    "approver": "Approvers", "isolation": "Isolation of what ran",
    "evidence": "Evidence level of what ran", "connection": "Connections",
    "changes": "Changes of workspaces", "policy": "Policy revisions",
    "engine": "Policy engines", "build": "Builds of the broker",
    "registry": "Registries of tools", "environment": "Environments",
}  # fmt: skip


def recorded_blocks(found: JsonObject) -> Iterator[Block]:
    """What was counted, for people, below a heading of the caller's."""
    yield Text("Counted from the records; nobody wrote it by hand.")
    whole = "whole" if found["is_whole"] else "not whole"
    times = "first, last record here (microseconds since 1970)"
    yield Table(
        ("", ""),
        [
            ("log", found["log"]),
            ("entries in the log", found["entries"]),
            (times, f"{found['first']}, {found['last']}"),
            ("integrity", found["integrity"]),
            ("anchoring", found["anchoring"]),
            ("completeness of the log", f"{whole}, {found['findings']} findings"),
            ("gaps: calls of which nobody knows how they ended", found["gaps"]),
            ("runs", found["runs"]),
            ("calls", found["calls"]),
            ("times that people were asked", found["asked"]),
        ],
    )
    yield from _table("Tools", ("tool", "effect", "impact", "calls"), found["tools"])
    yield from _table("Subjects", ("", "count"), found["subjects"])
    for name, title in _TITLES.items():
        yield from _table(title, ("", "count"), found["counted"][name])
    yield Heading(2, "Known limits")
    yield Bullets(LIMITS)


def _table(title: str, head: tuple[str, ...], rows: list[Any]) -> Iterator[Block]:
    if rows:
        yield Heading(2, title)
        yield Table(head, rows)
