"""The calls that `wardline trace list` tells of, put together from their entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.cli import trace_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonObject
    from permissions.trace.reader import RecordedEntry


def calls_of(entries: Iterator[RecordedEntry], run: str | None) -> Iterator[JsonObject]:
    """Each call as one object, when it ends; those that never ended come last."""
    open_calls: dict[tuple[str | None, str], JsonObject] = {}
    for entry in entries:
        if entry.call is None or (run is not None and entry.run != run):
            continue
        name = entry.run, entry.call
        if entry.type == "intent":
            open_calls[name] = {
                "index": entry.index,
                "time": entry.time,
                "run": entry.run,
                "call": entry.call,
                "tool": entry.body.get("tool"),
                "permitted": None,
                "reasons": [],
                "isolation": None,
                "changes": None,
                "end": "open",
            }
        call = open_calls.get(name)
        if call is None:
            continue
        if entry.type == "decision" and call["isolation"] is None:  # later: what it did
            call["permitted"] = entry.body.get("permitted")
            call["reasons"] = entry.body.get("reasons", [])
        elif entry.type == "start":
            call["isolation"] = entry.body.get("isolation")
        elif entry.type == "effect" and entry.body.get("kind") in ("changes", "fate"):
            call["changes"] = entry.body.get("fate", "held")
            call["reasons"] = entry.body.get("codes") or call["reasons"]
        elif entry.type in ("denied", "outcome", "gap"):
            call["end"] = trace_text.end_of(entry.type, entry.body)
            call["reasons"] = entry.body.get("codes") or call["reasons"]
            yield open_calls.pop(name)
    yield from open_calls.values()
