"""The calls of a trace, put together from their entries as they pass by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from permissions.trace.entry import TERMINAL
from permissions.trace.patch import patched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.export.opened import OpenedEntry
    from permissions.model import JsonObject


class Origin(NamedTuple):
    """Where the value of one argument came from, as the decision's input says."""

    argument: str
    kind: str
    trusted: bool
    call: str | None
    entry: int | None
    pointer: str | None


@dataclass(slots=True)
class Call:
    """One call; times are microseconds since 1970 UTC. None where its entries say nothing."""

    run: str
    id: str
    began: int
    entries: list[int]
    tool: str | None = None
    effect: str | None = None
    impact: str | None = None
    arguments: bytes | None = None
    permitted: bool | None = None
    rules: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    revision: str | None = None
    origins: list[Origin] = field(default_factory=list)
    asked: int = 0
    """How often people were asked."""
    approvers: list[str] = field(default_factory=list)
    isolation: str | None = None
    started: int | None = None
    end: str = "open"
    status: str | None = None
    """How it ended, in the record's word: of a denial its kind, of an outcome its status."""
    ended: int | None = None
    changes: str | None = None
    result: bytes | None = None
    subject: JsonObject | None = None
    """Who the run is for, as its start says."""
    leaf: bytes = b""
    """Hash of its last entry in the log's tree; `entries` ends with the index of that."""
    asked_first: JsonObject | None = None
    """The first input of its decisions, which later ones are told apart from."""

    @property
    def ran(self) -> bool:
        """Whether the tool may have been run."""
        return self.started is not None


class Calls:
    """Takes entries in order; gives each call when it ends, and the rest when asked."""

    def __init__(self) -> None:
        self._open: dict[tuple[str | None, str], Call] = {}
        self._revision: str | None = None
        self._subjects: dict[str | None, JsonObject] = {}

    def take(self, opened: OpenedEntry) -> Call | None:
        """The call that ends with this entry, if one does."""
        entry = opened.recorded
        if entry.type == "config":
            self._revision = entry.body.get("policy")
        elif entry.type == "run.start":
            self._subjects[entry.run] = entry.body.get("subject") or {}
        elif entry.type == "run.end":
            self._subjects.pop(entry.run, None)
        if entry.call is None:
            return None
        name = entry.run, entry.call
        call = self._open.get(name)
        if call is None:
            call = self._open[name] = Call(entry.run or "", entry.call, entry.time, [])
            call.subject = self._subjects.get(entry.run)
        call.entries.append(entry.index)
        call.leaf = entry.leaf
        self._observe(call, opened)
        return self._open.pop(name) if entry.type in TERMINAL else None

    def left(self) -> Iterator[Call]:
        """The calls that have no end yet, oldest first."""
        yield from self._open.values()
        self._open.clear()

    def _observe(self, call: Call, opened: OpenedEntry) -> None:
        entry = opened.recorded
        body: Any = entry.body
        match entry.type:
            case "intent":
                _asked(call, opened)
            case "decision" if body.get("action", "tools/call") == "tools/call":
                call.permitted = body.get("permitted")
                call.rules = list(body.get("rules", []))
                call.reasons = list(body.get("reasons", []))
                call.revision = body.get("revision") or self._revision
                _origins(call, opened)
            case "request":
                call.asked += 1
            case "approval":
                call.approvers = sorted({*call.approvers, *body.get("approvers", [])})
            case "start":
                call.started, call.isolation = entry.time, body.get("isolation")
            case "effect" if body.get("kind") in ("changes", "fate"):
                call.changes = body.get("fate", "held")
            case "denied":
                call.end, call.status, call.ended = "denied", body.get("kind"), entry.time
                call.reasons = list(body.get("codes", [])) or call.reasons
            case "outcome":
                call.end, call.status, call.ended = "ran", body.get("status"), entry.time
                call.result = opened.contents.get("result")
            case "gap":
                call.end, call.status, call.ended = "gap", body.get("reason"), entry.time


def _asked(call: Call, opened: OpenedEntry) -> None:
    body = opened.recorded.body
    call.tool, call.effect, call.impact = (
        body.get(each) for each in ("tool", "effect", "impact")
    )
    call.arguments = opened.contents.get("arguments")
    if call.tool is None and (named := opened.contents.get("tool")) is not None:
        call.tool = named.decode(errors="replace")


def _origins(call: Call, opened: OpenedEntry) -> None:
    asked = opened.json("input")
    if asked is not None:
        call.asked_first = asked
    elif call.asked_first is not None and (change := opened.json("input_patch")) is not None:
        asked = patched(call.asked_first, change)
    if not isinstance(asked, dict):
        return
    found = asked.get("context", {}).get("provenance")
    call.origins = [_origin(*each) for each in found.items()] if found else []


def _origin(argument: str, said: JsonObject) -> Origin:
    source = said.get("from") or {}
    return Origin(
        argument,
        str(said.get("origin", "unknown")),
        said.get("trusted") is True,
        source.get("call"),
        source.get("entry"),
        source.get("pointer"),
    )


def ended_calls(entries: Iterable[OpenedEntry]) -> Iterator[Call]:
    """Every call of these entries: as they end, then those without an end."""
    calls = Calls()
    for entry in entries:
        if (ended := calls.take(entry)) is not None:
            yield ended
    yield from calls.left()
