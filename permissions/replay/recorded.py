"""The decisions of a log as they were recorded, ready to be made again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from permissions.errors import TraceError
from permissions.run.past_calls import PastCalls
from permissions.trace.patch import patched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.model import JsonObject, Verdict
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.vault import VaultReader


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as it was recorded; `problem` says why it cannot be replayed.

    `action` is what was asked about: the call itself, or what it did while it ran.
    """

    index: int
    run: str
    call: str
    tool: str | None
    action: str
    revision: str
    engine: str
    verdict: Verdict
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    document: JsonObject | None
    response: bytes | None
    """What it answered, to the byte; None when that cannot be opened."""
    problem: str | None


def recorded_decisions(
    entries: Iterable[RecordedEntry], vault: VaultReader | None, *, with_history: bool = True
) -> Iterator[RecordedDecision]:
    """The decisions of a log, with their opened inputs where they can be opened.

    The history of the run, which an input holds only when a policy in force reads it, is put
    back from the log, so that a policy that reads it can be tried; `with_history` says whether
    one does.
    """
    calls: dict[tuple[str | None, str | None], _Call] = {}
    histories: defaultdict[str, PastCalls] = defaultdict(PastCalls)
    in_force: JsonObject = {}
    for entry in entries:
        called, run = (entry.run, entry.call), entry.run or ""
        if entry.type == "config":
            in_force = {
                "revision": entry.body.get("policy"),
                "engine": entry.body.get("engine"),
            }
        elif entry.type == "delegation":
            histories[str(entry.body.get("sent"))] = histories[run]  # they share it
        elif entry.type == "intent":
            calls[called] = _Call(entry.body.get("tool"), entry.body.get("effect"))
        elif entry.type == "start" and called in calls:
            call = calls[called]
            tool, effect = str(call.tool), str(call.effect)
            histories[run].begin(entry.call or "", tool=tool, effect=effect, time=entry.time)
        elif entry.type in ("denied", "outcome", "gap"):
            calls.pop(called, None)
            histories[run].end(entry.call or "", str(entry.body.get("status", "unknown")))
        elif entry.type == "decision":
            call = calls.setdefault(called, _Call())
            body = {**in_force, **entry.body}
            history = histories[run].document() if with_history else None
            yield _recorded(entry, body, call, history, vault)


@dataclass(slots=True)
class _Call:
    tool: str | None = None
    effect: str | None = None
    asked: JsonObject | None = None
    """What was asked first about it; later inputs are recorded as what is other."""


def _recorded(
    entry: RecordedEntry,
    body: JsonObject,
    call: _Call,
    history: list[JsonObject] | None,
    vault: VaultReader | None,
) -> RecordedDecision:
    document, problem = _open_input(entry, call, vault)
    if history is not None and document is not None:
        document = _with_history(document, history)
    return RecordedDecision(
        index=entry.index,
        run=entry.run or "",
        call=entry.call or "",
        tool=call.tool,
        action=str(body.get("action", "tools/call")),
        revision=str(body.get("revision")),
        engine=str(body.get("engine")),
        verdict=_recorded_verdict(body),
        reasons=tuple(str(code) for code in body.get("reasons", ())),
        rules=tuple(str(code) for code in body.get("rules", ())),
        document=document,
        response=_open_response(entry, vault),
        problem=problem,
    )


def _with_history(document: JsonObject, history: list[JsonObject]) -> JsonObject:
    if "history" in document.get("context", {"history": None}):
        return document
    return {**document, "context": {**document["context"], "history": history}}


def _open_response(entry: RecordedEntry, vault: VaultReader | None) -> bytes | None:
    try:
        return None if vault is None else entry.open("response", vault)
    except TraceError:
        return None  # told where answers are compared


def _open_input(
    entry: RecordedEntry, call: _Call, vault: VaultReader | None
) -> tuple[JsonObject | None, str | None]:
    """The recorded input, or why there is none to be had."""
    if vault is None:
        return None, "the vault's key is not at hand"
    try:
        if "input_patch" not in entry.digests:
            call.asked = orjson.loads(entry.open("input", vault))
            return call.asked, None
        operations = orjson.loads(entry.open("input_patch", vault))
        if call.asked is None:
            return None, "the first input of its call cannot be opened"
        return patched(call.asked, operations), None
    except (TraceError, ValueError) as err:
        return None, str(err)


def _recorded_verdict(body: JsonObject) -> Verdict:
    if body.get("permitted") is True:
        return "allow"
    return "ask" if body.get("requestable") is True else "deny"
