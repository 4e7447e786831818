"""Tells the demo's run from its own record: each call as it ends, in one line."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from permissions.approval.text import visible
from permissions.reasons import Code, reason
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader, load_kek

if TYPE_CHECKING:
    from permissions.setup.layout import StateLayout
    from permissions.trace.reader import RecordedEntry

WIDTH = 100
_BROKERS = frozenset(Code)
_WORDS = {"denied": "DENIED", "pending": "HELD", "expired": "EXPIRED", "in_doubt": "IN DOUBT"}


def say(text: str = "") -> None:
    """One line of the demo, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def heading(text: str) -> None:
    """A new part of the story."""
    say()
    say(f"== {text} {'=' * max(3, WIDTH - len(text) - 4)}")


class Narrator:
    """Follows the log of one state folder."""

    def __init__(self, layout: StateLayout) -> None:
        self._layout = layout
        self._next = 0
        self._calls: dict[str, list[RecordedEntry]] = {}
        self.endings: list[tuple[str, str, tuple[str, ...]]] = []
        """Tool, how it ended, and reason codes, per call that ended."""

    def catch_up(self) -> None:
        """Tells every call that has ended since the last time."""
        vault = VaultReader(self._layout.trace, load_kek(self._layout.kek))
        for entry in read_entries(self._layout.trace):
            if entry.index < self._next or entry.call is None:
                continue
            self._calls.setdefault(entry.call, []).append(entry)
            if entry.type in {"denied", "outcome"}:
                self._tell(self._calls.pop(entry.call), entry, vault)
            self._next = entry.index + 1

    def _tell(
        self, entries: list[RecordedEntry], end: RecordedEntry, vault: VaultReader
    ) -> None:
        intent, found = entries[0], {entry.type: entry for entry in entries}
        tool = intent.body.get("tool") or "(unknown tool)"
        arguments = _opened(intent, "arguments", vault)
        decision = found.get("decision")
        if end.type == "denied":
            word = _WORDS.get(end.body["kind"], "NOT RUN")
            codes = tuple(end.body.get("codes", ()))
        else:
            word = "ran" if end.body["status"] == "ok" else end.body["status"]
            codes = tuple(decision.body.get("rules", ())) if decision else ()
        self.endings.append((tool, word, codes))
        where = ""
        if start := found.get("start"):
            boundary = start.body["enforced"]["boundary"]
            where = f"[{start.body['enforced']['backend']}] " if boundary != "none" else ""
        person = "a person approved; " if "approval" in found else ""
        say(f"  {word:8} {tool:15} {_short(arguments):44} {person}{where}{', '.join(codes)}")
        if word == "DENIED":
            self._tell_why(codes, _opened(decision, "response", vault) if decision else None)
        if end.type == "outcome" and where:
            self._tell_output(_opened(end, "result", vault))

    def _tell_why(self, codes: tuple[str, ...], response: Any) -> None:
        said = (
            {each["code"]: each["agent"] for each in response["context"]["reasons"]}
            if response
            else {}
        )
        for code in codes:
            text = reason(Code(code)).agent if code in _BROKERS else said.get(code, "")
            say(f"             {visible(text)[: WIDTH - 14]}")

    def _tell_output(self, result: Any) -> None:
        if isinstance(result, dict) and isinstance(result.get("printed"), str):
            for line in result["printed"].splitlines():
                say(f"             | {visible(line)[: WIDTH - 15]}")


def _opened(entry: RecordedEntry, name: str, vault: VaultReader) -> Any:
    return json.loads(entry.open(name, vault)) if name in entry.digests else None


def _short(arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return ""
    if len(arguments) == 1:
        text = str(next(iter(arguments.values())))
    else:
        text = " ".join(f"{name}={value}" for name, value in reversed(arguments.items()))
    line = visible(" ".join(text.split()))
    return line if len(line) <= 44 else line[:41] + "..."
