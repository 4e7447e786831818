"""What the explorer has to know of every call and entry before anything else is read: columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from permissions.export.calls import Call
    from permissions.export.opened import OpenedEntry
    from permissions.model import JsonObject

LABEL_CHARS = 160
PROMPT_CHARS = 2000


class _Numbers:
    """Numbers values by the order in which they were met."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        return self.of.setdefault(value, len(self.of))


class Summary:
    """Collects the columns; memory grows with the number of entries, not with what they hold."""

    def __init__(self) -> None:
        self._types = _Numbers()
        self._words = _Numbers()
        self._same = _Numbers()
        self._run_numbers = _Numbers()
        self._position: dict[int, int] = {}
        """From an entry's index in the log to where it stands in the page."""
        self._entries: dict[str, list[int]] = {"type": [], "time": [], "index": []}
        self._runs: dict[str, JsonObject] = {}
        self._calls: list[list[Any]] = []
        self._number: dict[tuple[str, str], int] = {}
        self._origins: list[list[Any]] = []

    def entry(self, opened: OpenedEntry) -> None:
        """Takes in the next entry."""
        entry = opened.recorded
        self._position[entry.index] = len(self._entries["index"])
        self._entries["type"].append(self._types(entry.type))
        self._entries["time"].append(entry.time)
        self._entries["index"].append(entry.index)
        if entry.run is None:
            return
        run = self._run(entry.run)
        run.setdefault("began", entry.time)
        run["ended"] = entry.time
        if entry.type == "run.start":
            run["subject"] = entry.body.get("subject")
            if (prompt := opened.contents.get("prompt")) is not None:
                run["prompt"] = prompt.decode(errors="replace")[:PROMPT_CHARS]
        elif entry.type == "run.end":
            run["status"] = entry.body.get("status")

    def call(self, call: Call) -> None:
        """Takes in a call that ended, or never did."""
        number = self._number[call.run, call.id] = len(self._calls)
        self._calls.append(
            [
                call.id,
                self._run_numbers(call.run),
                self._words(call.tool),
                call.began,
                None if call.ended is None else call.ended - call.began,
                call.end,
                call.status,
                call.permitted,
                [self._words(each) for each in call.reasons],
                [self._words(each) for each in call.rules],
                call.asked,
                [self._words(each) for each in call.approvers],
                call.isolation,
                call.effect,
                label(call.arguments),
                None if call.arguments is None else self._same((call.tool, call.arguments)),
                [self._position[each] for each in call.entries],
                call.changes,
            ]
        )
        for origin in call.origins:
            self._origins.append(
                [
                    number,
                    origin.argument,
                    origin.kind,
                    origin.trusted,
                    (call.run, origin.call),
                    origin.entry,
                    origin.pointer,
                ]
            )

    def _run(self, run: str) -> JsonObject:
        self._run_numbers(run)
        return self._runs.setdefault(run, {"id": run})

    def document(self) -> JsonObject:
        """The columns as JSON."""
        origins = [
            [*each[:4], self._number.get(each[4]), each[5], each[6]] for each in self._origins
        ]
        return {
            "types": list(self._types.of),
            "words": list(self._words.of),
            "entries": self._entries,
            "runs": list(self._runs.values()),
            "calls": self._calls,
            "origins": origins,
        }


def label(arguments: bytes | None) -> str | None:
    """Arguments on one line, cut to what a list has room for."""
    if arguments is None:
        return None
    try:
        found = orjson.loads(arguments)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return arguments[:LABEL_CHARS].decode(errors="replace")
    said = ""
    for name, value in found.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        said += f"{'  ' if said else ''}{name}={text[:LABEL_CHARS]}"
        if len(said) > LABEL_CHARS:
            return said[:LABEL_CHARS] + "…"
    return said
