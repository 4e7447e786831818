"""A card of what was recorded, counted from the entries: for whoever has to judge the system."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from permissions.approval.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.export.calls import Call
    from permissions.export.opened import OpenedEntry
    from permissions.trace.report import Report

LISTED = 200
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
        return "\n".join(self._lines(report)) + "\n"

    def _count(self, name: str, value: object) -> None:
        if value is not None:
            self._facts[name][str(value)] += 1

    def _lines(self, report: Report) -> Iterator[str]:
        integrity, completeness = report.integrity, report.completeness
        yield "# What was recorded"
        yield ""
        yield "Counted from the records of this packet; nobody wrote it by hand."
        yield ""
        yield "| | |"
        yield "|---|---|"
        yield f"| log | {_cell(integrity.origin)} |"
        yield f"| entries in the log | {integrity.size} |"
        first, last = (*self._times, 0, 0)[:2] if self._times else (0, 0)
        yield f"| first, last record here (microseconds since 1970) | {first}, {last} |"
        yield f"| integrity | {integrity.verdict} |"
        yield f"| anchoring | {report.anchoring} |"
        whole = "whole" if completeness.is_whole else "not whole"
        yield f"| completeness of the log | {whole}, {completeness.findings_count} findings |"
        yield f"| gaps: calls of which nobody knows how they ended | {completeness.gaps} |"
        yield f"| runs | {len(self._runs)} |"
        yield f"| calls | {self._tools.total()} |"
        yield f"| times that people were asked | {self._asked} |"
        yield from _table(
            "Tools",
            ("tool", "effect", "impact", "calls"),
            ((*names, count) for names, count in self._tools.most_common(LISTED)),
            len(self._tools),
        )
        titles = {
            "end": "How calls ended", "reason": "Reasons given", "rule": "Rules that decided",
            "approver": "Approvers", "isolation": "Isolation of what ran",
            "evidence": "Evidence level of what ran", "connection": "Connections",
            "changes": "Changes of workspaces", "policy": "Policy revisions",
            "engine": "Policy engines", "build": "Builds of the broker",
            "registry": "Registries of tools", "environment": "Environments",
        }  # fmt: skip
        yield from _counted("Subjects", self._subjects)
        for name, title in titles.items():
            yield from _counted(title, self._facts[name])
        yield from ("", "## Known limits", "", *(f"- {each}" for each in LIMITS))


def _counted(title: str, found: Counter[str]) -> Iterator[str]:
    return _table(title, ("", "count"), found.most_common(LISTED), len(found))


def _table(
    title: str, head: tuple[str, ...], rows: Iterable[tuple[object, ...]], total: int
) -> Iterator[str]:
    if not total:
        return
    yield from ("", f"## {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|")
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    if total > LISTED:
        yield f"\n{total - LISTED} more are not listed."


def _cell(value: object) -> str:
    """Somebody's text, in one cell and as nothing but text."""
    said = visible(str(value))[:200]
    for mark in "\\`*_{}[]<>()#+!|~&":
        said = said.replace(mark, f"\\{mark}")
    return said
