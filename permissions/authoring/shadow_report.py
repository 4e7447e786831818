"""What packages in the shadow would have done to the calls of a log: by package, rule and tool."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import orjson

from permissions.errors import PolicyLoadError, TraceError
from permissions.model import Digest
from permissions.pdp.bundle import load_revision
from permissions.pdp.shadow_marks import shadow_paths

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from permissions.model import JsonObject, Verdict
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.vault import VaultReader

EXAMPLES = 3
UNKNOWN = "?"


@dataclass(slots=True)
class ShadowRow:
    """One rule of a package in the shadow, over the calls of one tool.

    Attributes:
        package: its folder; `?` when the bundle of that time is not there any more.
        code: what the rule said; the name of an error when there was no clear answer.
        changes: per verdict before and after, how many decisions it changed, or left.
        examples: ids of some of those calls; those that it changed first.
        said: what the rule told the operator of the first of them, with the values it compared.
    """

    package: str
    code: str
    tool: str
    changes: Counter[tuple[Verdict, Verdict | None]] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    said: JsonObject | None = None

    @property
    def count(self) -> int:
        """How often it spoke."""
        return self.changes.total()

    @property
    def changed(self) -> int:
        """How many decisions would have been other ones."""
        return sum(many for (was, would), many in self.changes.items() if was != would)

    @property
    def allowed(self) -> int:
        """How many calls would have been permitted that were not."""
        return sum(
            many for (was, would), many in self.changes.items() if was != would == "allow"
        )


@dataclass(slots=True)
class ShadowReport:
    """All rows, and how many decisions were looked at."""

    decisions: int = 0
    changed: int = 0
    rows: list[ShadowRow] = field(default_factory=list)


def shadow_report(
    entries: Iterable[RecordedEntry], vault: VaultReader | None, bundles: Path
) -> ShadowReport:
    """Counts what was recorded.

    Args:
        entries: of the log, in order.
        vault: opens what was said; without it rows have no `said`.
        bundles: folder of the saved policies.
    """
    report, homes = ShadowReport(), _Homes(bundles)
    rows: dict[tuple[str, str, str], ShadowRow] = {}
    tools: dict[tuple[str | None, str | None], str] = {}
    in_force = ""
    for entry in entries:
        if entry.type == "config":
            in_force = str(entry.body.get("policy"))
        elif entry.type == "intent":
            tools[entry.run, entry.call] = str(entry.body.get("tool") or "(unknown)")
        elif entry.type in ("denied", "outcome", "gap"):
            tools.pop((entry.run, entry.call), None)
        elif entry.type == "decision":
            report.decisions += 1
            would = entry.body.get("shadow")
            if isinstance(would, dict):
                revision = str(entry.body.get("revision") or in_force)
                was, then = _verdict(entry.body), would.get("verdict")
                report.changed += was != then
                tool = tools.get((entry.run, entry.call), "(unknown)")
                for code in map(str, would.get("codes") or ["(no code)"]):
                    key = (homes.package(revision, code), code, tool)
                    row = rows.setdefault(key, ShadowRow(*key))
                    row.changes[was, then] += 1
                    _example(row, entry, vault, changed=was != then)
    report.rows = sorted(rows.values(), key=lambda row: (-row.changed, -row.count, row.code))
    return report


def _verdict(body: JsonObject) -> Verdict:
    if body.get("permitted") is True:
        return "allow"
    return "ask" if body.get("requestable") is True else "deny"


def _example(
    row: ShadowRow, entry: RecordedEntry, vault: VaultReader | None, *, changed: bool
) -> None:
    call = entry.call or ""
    if call in row.examples or len(row.examples) >= EXAMPLES:
        return
    row.examples.append(call)
    if row.said is None or (changed and row.changed == 1):
        row.said = _said(row.code, entry, vault)


def _said(code: str, entry: RecordedEntry, vault: VaultReader | None) -> JsonObject | None:
    if vault is None or "shadow" not in entry.digests:
        return None
    try:
        reasons = orjson.loads(entry.open("shadow", vault))["context"]["reasons"]
    except (TraceError, ValueError, KeyError, TypeError):
        return None
    return next((each for each in reasons if each.get("code") == code), None)


class _Homes:
    """Which package of a revision says a code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._texts: dict[str, dict[str, str]] = {}

    def package(self, revision: str, code: str) -> str:
        if revision not in self._texts:
            self._texts[revision] = self._load(revision)
        for path, text in self._texts[revision].items():
            if f'"{code}"' in text:
                return str(PurePosixPath(path).parent)
        return UNKNOWN

    def _load(self, revision: str) -> dict[str, str]:
        try:
            modules = load_revision(self._folder, Digest(revision)).modules
        except PolicyLoadError:
            return {}
        return {path: modules[path] for path in sorted(shadow_paths(modules))}
