"""What stands behind a call that people are asked about, for them to read.

Where each value that matters came from, up to the line of the mail it was read in, what the plan
says, and what the person asked for. It is shown and signed with the request,
and is no part of what an approval is bound to: the same call asked again may have more behind it.

Read from the record of the run, at the moment when people are asked and at no other. Not
protected from: what the record does not hold (contents over 4 MiB), which is told as unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import anyio.to_thread
import orjson

from permissions.approval.model import Background
from permissions.plan.pointers import follow, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from permissions.broker.ports import BrokerParts
    from permissions.model import JsonObject, JsonValue
    from permissions.run.state import RunState
    from permissions.trace.entry import TraceEntry

MAX_SOURCES = 60
"""Values whose origin is told; control arguments come first."""
MAX_TASK = 2000
"""Characters of what the person asked for."""
MAX_WORDS = 300
"""Characters of a line, a name or an argument that is quoted."""
_WHO = ("sender", "from", "author", "by", "user", "owner", "channel")
_WHAT = ("subject", "title", "name", "path", "file", "url", "id", "date", "time")


class Recorded(NamedTuple):
    """A call as its record holds it: what it was given, and what it gave."""

    given: JsonValue
    gave: JsonValue


async def background_of(
    parts: BrokerParts, session: RunState, document: JsonObject
) -> Background:
    """What is behind a call, from what policies were asked about it and from the record.

    Raises:
        TraceError: the record cannot be read.
    """
    asked = document["resource"]["properties"]
    context = document["context"]
    found = sorted(context["provenance"].items(), key=lambda each: not each[1]["control"])
    named = [each for each in found if each[1]["control"] or each[1]["carries"]][:MAX_SOURCES]
    calls = {entry["from"]["call"] for _, entry in named if entry["from"]}
    runs = [session.run, *(above.run for above in session.senders())]
    task, recorded = await anyio.to_thread.run_sync(_recorded, parts, runs, calls)
    return Background(
        {
            "effect": document["action"]["properties"]["effect"],
            "impact": document["action"]["properties"]["impact"],
            "control": asked.get("control", []),
            "task": task,
            "plan": _plan(context["plan"]),
            "labels": context["labels"],
            "sources": [_source(pointer, entry, recorded) for pointer, entry in named],
        }
    )


def _plan(plan: JsonObject | None) -> JsonObject | None:
    if plan is None:
        return None
    return {name: plan[name] for name in ("id", "step", "verdict", "detail", "required")}


def _recorded(
    parts: BrokerParts, runs: Sequence[str], calls: set[str]
) -> tuple[str | None, dict[str, Recorded]]:
    """What the person asked for, and the calls of that id. Blocking."""
    task: str | None = None
    given: dict[str, JsonValue] = {}
    gave: dict[str, JsonValue] = {}
    for run in runs:
        for entry in parts.history(run):
            match entry.type:
                case "run.start" if "prompt" in entry.contents:
                    task = entry.contents["prompt"].decode(errors="replace")[:MAX_TASK]
                case "intent" if entry.call in calls:
                    given[str(entry.call)] = _json(entry, "arguments")
                case "outcome" if entry.call in calls:
                    gave[str(entry.call)] = _json(entry, "readable", "result")
                case _:
                    pass
    return task, {call: Recorded(given.get(call), gave.get(call)) for call in given | gave}


def _json(entry: TraceEntry, *names: str) -> JsonValue:
    raw = next((entry.contents[name] for name in names if name in entry.contents), b"null")
    try:
        found: JsonValue = orjson.loads(raw)
    except ValueError:
        return None
    return found


def _source(
    pointer: str, entry: Mapping[str, Any], recorded: Mapping[str, Recorded]
) -> JsonObject:
    """Where one value came from: what provenance says of it, and the record it was read in."""
    read_in = entry["from"]
    source = {name: entry[name] for name in ("origin", "source", "trusted", "control")}
    source.update(at=pointer, carries=list(entry["carries"]), read=None)
    if read_in is not None:
        call = recorded.get(read_in["call"], Recorded(None, None))
        source["read"] = {
            "call": read_in["call"],
            "given": [*_told(call.given)],
            **_spot(call.gave, read_in["pointer"], read_in["cut"]),
        }
    return source


def _spot(gave: JsonValue, pointer: str | None, cut: Sequence[int] | None) -> JsonObject:
    """The field, the record around it, and the line in which a value stands."""
    nothing: JsonObject = {"field": pointer, "record": [], "line": None, "words": None}
    if pointer is None:
        return nothing
    tokens = tokens_of(pointer)
    there, text = follow(gave, tokens)
    if not there:
        return nothing
    record: list[JsonValue] = []
    for depth in range(len(tokens) - 1, -1, -1):
        above = follow(gave, tokens[:depth])[1]
        if isinstance(above, dict):
            record = [*_told(above, leave_out=tokens[depth])]
            break
    line = words = None
    if isinstance(text, str) and cut is not None:
        start = text.rfind("\n", 0, cut[0]) + 1
        line = text.count("\n", 0, cut[0]) + 1
        words = text[start:].split("\n", 1)[0]
        if len(words) > MAX_WORDS:  # so that the value itself is in it
            words = text[max(start, cut[0] - MAX_WORDS // 2) :][:MAX_WORDS].split("\n", 1)[0]
    return {
        **nothing,
        "record": record,
        "line": line,
        "words": None if words is None else _clean(words),
    }


def _told(record: JsonValue, *, leave_out: str = "") -> Iterator[list[JsonValue]]:
    """What tells a record apart for people, as names and values: who it is of, then what it is."""
    if not isinstance(record, dict):
        return
    names = [name for name in (*_WHO, *_WHAT) if name in record and name != leave_out]
    if not names:
        names = [name for name in record if name != leave_out]
    for name in _short(names, record):
        value = record[name]
        yield [_clean(name), _clean(value) if isinstance(value, str) else value]


def _short(names: Iterable[str], record: JsonObject) -> list[str]:
    def fits(value: JsonValue) -> bool:
        match value:
            case str():
                return 0 < len(value) <= MAX_WORDS
            case bool() | int():
                return abs(value) < 2**53
            case _:
                return False

    return [name for name in names if len(name) <= MAX_WORDS and fits(record[name])][:4]


def _clean(text: str) -> str:
    """A text that any store takes."""
    return text.encode(errors="backslashreplace").decode()
