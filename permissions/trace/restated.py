"""Where the body of an entry says again what one of its contents says: both must agree.

The body is what is read, listed and counted; the content is what was really asked, answered or
signed. Whoever holds the log's key could write one and leave the other as it was. So each body is
compared with its opened contents, and calls with what their entries say of each other. Pure; the
table in docs/reference/trace-format.md ("Said twice") is this module in words.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from permissions.errors import SigningError, TraceError
from permissions.signing import dsse
from permissions.signing.canonical import digest_of
from permissions.trace.agreement import envelopes_of, is_in_order, proven, votes_of
from permissions.trace.entry import NOT_KEPT
from permissions.trace.patch import patched

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from permissions.model import JsonObject

MARKER = b"[redacted:"
"""How what stands in the place of a value begins."""
REQUIRED = {
    "intent": ("arguments",),
    "decision": ("response",),
    "plan": ("plan",),
    "resume": ("statement",),
    "approval": ("envelope_0", "voters"),
    "resolution": ("envelope_0", "voters"),
    "grant": ("envelope_0", "voters"),
}
"""Contents without which the body of an entry would rest on nothing."""


RESTATED_SEALED = frozenset({"intent", "decision", "request", "start", "outcome", "gap"})
"""Entries of which `CallFacts.sealed` says all there is to say when nothing of them is opened."""


class Opened(NamedTuple):
    """An entry with those of its contents that could be opened."""

    kind: str
    body: JsonObject
    named: frozenset[str]
    """All contents the entry names."""
    contents: Mapping[str, bytes]
    tags: Callable[[str, bytes], list[str]]
    """The tags some bytes may have in this run, under a name."""


class CallFacts:
    """What was opened of one call so far, for what its next entries say of it."""

    __slots__ = ("_args", "_arguments", "_input", "_is_unread", "_shown")

    def __init__(self) -> None:
        self._arguments: bytes | None = None
        self._is_unread = False
        self._args: object = None
        self._input: JsonObject | None = None
        self._shown: dict[str, tuple[str, str, JsonObject]] = {}
        """By request: the digest of what was shown, and the binding of the call in it."""

    def contradictions(self, entry: Opened) -> Iterator[str]:
        """What an entry says that its contents, or earlier entries of its call, do not."""
        entry = _as_kept(entry)
        for name in REQUIRED.get(entry.kind, ()):
            if name not in entry.named:
                yield f"{entry.kind} names no {name}"
        try:
            yield from self._compare(entry)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            SigningError,
            TraceError,
        ) as err:
            yield f"a content of {entry.kind} is not of its form ({type(err).__name__})"

    def sealed(self, kind: str, body: JsonObject, named: Container[str]) -> list[str]:
        """What `contradictions` says of an entry of which nothing is opened, at less cost."""
        found = unnamed(kind, body, named)
        if kind == "intent":
            self._arguments, self._args, self._is_unread = None, body.get("args"), False
        elif kind == "start":
            if self._is_unread:
                found.append("start is of a call whose arguments were not looked through")
            if body.get("args") != self._args:
                found.append("start is with other arguments than were asked for")
        return found

    def _compare(self, entry: Opened) -> Iterator[str]:
        match entry.kind, entry.body.get("kind"):
            case "intent", _:
                yield from self._intent(entry)
            case "decision", _:
                yield from self._decision(entry)
            case (("resolution" | "grant"), _):
                yield from _statement(entry)
            case "request", _:
                yield from self._request(entry)
            case "approval", _:
                yield from self._approval(entry)
            case "start", _:
                yield from self._start(entry)
            case "effect", "changes":
                yield from _changes(entry)
            case ("denied", _) | ("effect", "fate"):
                yield from _answers(entry)
            case ("plan" | "stop" | "resume") as kind, _:
                yield from {"plan": _plan, "stop": _stop, "resume": _resume}[kind](entry)

    def _intent(self, entry: Opened) -> Iterator[str]:
        self._arguments = entry.contents.get("arguments")
        self._is_unread = self._arguments == NOT_KEPT
        if self._is_unread:
            self._arguments = None
        self._args = entry.body.get("args")
        if self._args is not None:
            yield from _tagged(entry, "args", self._arguments)
        if "key" in entry.named:
            yield from _tagged(entry, "key", entry.contents.get("key"))
        elif entry.body.get("key") is not None:
            yield "intent names no key"

    def _start(self, entry: Opened) -> Iterator[str]:
        if self._is_unread:
            yield "start is of a call whose arguments were not looked through"
        if entry.body.get("args") != self._args:
            yield "start is with other arguments than were asked for"

    def _decision(self, entry: Opened) -> Iterator[str]:
        asked = self._asked(entry)
        if asked is not None:
            yield from _told(entry, {"action": asked["action"]["name"]})
            if asked["action"]["name"] == "tools/call" and self._arguments is not None:
                said = asked["resource"]["properties"]
                if said["args"] != orjson.loads(self._arguments):
                    yield "decision is about other arguments than were asked for"
        if (raw := entry.contents.get("response")) is None:
            return
        answer = orjson.loads(raw)
        context = answer["context"]
        yield from _told(
            entry,
            {
                "permitted": answer["decision"],
                "requestable": context["access_request"] is not None,
                "rules": context["rules"],
                "reasons": [each["code"] for each in context["reasons"]],
                "obligations": [each["type"] for each in context["obligations"]],
            },
        )
        if (raw := entry.contents.get("shadow")) is not None:
            yield from _told(entry, {"shadow": _shadow(answer, orjson.loads(raw))})

    def _asked(self, entry: Opened) -> JsonObject | None:
        if not entry.named & {"input", "input_patch"}:
            raise TraceError("no input")
        if (raw := entry.contents.get("input")) is not None:
            self._input = orjson.loads(raw)
            return self._input
        if self._input is None or (raw := entry.contents.get("input_patch")) is None:
            return None
        return patched(self._input, orjson.loads(raw))

    def _request(self, entry: Opened) -> Iterator[str]:
        if (shown := entry.contents.get("shown")) is None:
            return
        document = orjson.loads(shown)
        call = document["call"]
        yield from _told(
            entry,
            {
                "request": document["id"],
                "approvers": call["terms"]["approvers"],
                "quorum": call["terms"]["quorum"],
                "expires_at": document["expires_at"],
            },
        )
        if self._arguments is not None and call["arguments"].encode() != self._arguments:
            yield "request shows other arguments than were asked for"
        if "shown" in entry.body.get("redacted", ()):  # what was signed is not what is kept
            if MARKER not in shown:
                yield "request says that what was shown is redacted, and it is not"
            return
        arguments = _sha256(call["arguments"].encode())
        bound = {
            "type": "wardline.approval.binding/v1",
            "call": {**call, "arguments": arguments},
        }
        self._shown[document["id"]] = _sha256(shown), digest_of(bound), call

    def _approval(self, entry: Opened) -> Iterator[str]:
        votes = list(votes_of(entry.contents))
        if len(votes) != sum(name.startswith("envelope_") for name in entry.named):
            return  # some cannot be opened, which is told elsewhere
        yield from _told(entry, {"approvers": sorted({vote["approver"] for vote in votes})})
        shown = self._shown.get(str(entry.body.get("request")))
        for vote in votes:
            if vote["verdict"] != "approve" or vote["request"] != entry.body.get("request"):
                yield "approval rests on an answer that is none to this request"
            elif shown is not None and (vote["shown_digest"], vote["binding"]) != shown[:2]:
                yield "approval rests on an answer to something else than was shown"
        if shown is not None and not is_in_order(
            shown[2]["terms"], envelopes_of(entry.contents), votes
        ):
            yield "approval rests on an answer out of its order"
        if (raw := entry.contents.get("voters")) is not None:
            envelopes, voters = envelopes_of(entry.contents), orjson.loads(raw)
            yield from proven(envelopes, voters, None if shown is None else shown[2])


def unnamed(kind: str, body: JsonObject, named: Container[str]) -> list[str]:
    """What an entry of `RESTATED_SEALED` should name and does not.

    Without any key that is all, since `rules` holds a start to the arguments of its intent, too.
    """
    found: list[str] = []
    if kind == "decision":
        if "response" not in named:
            found.append("decision names no response")
        if "input" not in named and "input_patch" not in named:
            found.append("a content of decision is not of its form (TraceError)")
    elif kind == "intent":
        if "arguments" not in named:
            found.append("intent names no arguments")
        if body.get("key") is not None and "key" not in named:
            found.append("intent names no key")
    return found


def _as_kept(entry: Opened) -> Opened:
    """Without what could not be looked through when it was recorded."""
    if entry.contents.get("changes") != NOT_KEPT:
        return entry
    rest = {name: data for name, data in entry.contents.items() if name != "changes"}
    return entry._replace(contents=rest)


def _statement(entry: Opened) -> Iterator[str]:
    yield from _grant(entry) if entry.kind == "grant" else _resolution(entry)


def _resolution(entry: Opened) -> Iterator[str]:
    if (raw := entry.contents.get("envelope_0")) is None:
        return
    said = orjson.loads(base64.b64decode(orjson.loads(raw)["payload"]))
    facts = {"of": said["call"], "found": said["found"]}
    yield from _signed(entry, raw, {**facts, "approver": said["approver"]})


def _grant(entry: Opened) -> Iterator[str]:
    if (raw := entry.contents.get("envelope_0")) is None:
        return
    said = orjson.loads(base64.b64decode(orjson.loads(raw)["payload"]))
    yield from _signed(entry, raw, {"grant": said["id"], "approver": said["approver"]})
    if not 0 < entry.body["use"] <= said["uses"]:
        yield "grant was used more often than it says"


def _signed(entry: Opened, raw: bytes, facts: JsonObject) -> Iterator[str]:
    """What an entry says of the statement that a person signed, and that they did."""
    yield from _told(entry, facts)
    if (voter := entry.contents.get("voters")) is not None:
        key = str(orjson.loads(voter)[0]["key"])
        try:
            dsse.signed_by(dsse.Envelope.parse(raw), [dsse.parse_key(key)])
        except SigningError:
            yield f"{entry.kind} rests on an answer that the key of its voter did not sign"


def _plan(entry: Opened) -> Iterator[str]:
    yield from _tagged(entry, "plan", entry.contents.get("plan"))
    if (raw := entry.contents.get("plan")) is not None:
        yield from _told(entry, {"steps": len(orjson.loads(raw)["steps"])})


def _changes(entry: Opened) -> Iterator[str]:
    if (raw := entry.contents.get("changes")) is None:
        return
    document = orjson.loads(raw)
    yield from _tagged(entry, "change_set", document["digest"].encode())
    counted = {name: document[name] for name in ("created", "changed", "deleted", "bytes")}
    listed = {name: len(document[name]) for name in ("protected", "refused", "conflicts")}
    yield from _told(entry, {**counted, **listed})


def _answers(entry: Opened) -> Iterator[str]:
    votes = list(votes_of(entry.contents))
    if len(votes) != sum(name.startswith("envelope_") for name in entry.named):
        return
    said = [{name: vote[name] for name in ("request", "approver", "verdict")} for vote in votes]
    yield from _told(entry, {"answers": said})


def _stop(entry: Opened) -> Iterator[str]:
    if entry.body.get("phase") == "ended":
        if (raw := entry.contents.get("proof")) is not None:
            proof = orjson.loads(raw)
            counted = ("running", "ended", "not_stopped", "requests", "approvals", "grants")
            named = [each["call"] for each in proof["not_stopped"]][:100]
            numbers = {name: len(proof[name]) for name in counted}
            yield from _told(entry, {**numbers, "running_on": named})
        return
    if (said := _stop_said(entry)) is not None:
        yield from _told(entry, {name: said[name] for name in ("stop", "scope", "name", "by")})
    if (raw := entry.contents.get("running")) is not None:
        yield from _told(entry, {"running": len(orjson.loads(raw))})


def _resume(entry: Opened) -> Iterator[str]:
    """Who agreed answered this very request, and what was shown."""
    if (said := _stop_said(entry)) is None:
        return
    facts = {"stop": said["lifts"], "by": said["by"], "request": said["request"]}
    yield from _told(entry, facts)
    if said["request"] is None or (shown := entry.contents.get("shown")) is None:
        return
    votes = list(votes_of(entry.contents))
    if said["shown"] != shown.decode() or len(votes) != len(said["votes"]):
        yield "resume says another agreement than its contents"
    for vote in votes:
        asked = (vote["verdict"], vote["request"], vote["shown_digest"])
        if asked != ("approve", said["request"], _sha256(shown)):
            yield "resume rests on an answer to something else than was shown"


def _stop_said(entry: Opened) -> dict[str, Any] | None:
    raw = entry.contents.get("statement")
    return None if raw is None else orjson.loads(base64.b64decode(orjson.loads(raw)["payload"]))


def _told(entry: Opened, facts: JsonObject) -> Iterator[str]:
    for name, value in facts.items():
        said = entry.body.get(name)
        if said is None and value in (None, [], ""):
            continue  # what is empty is left out
        if said != value or type(said) is not type(value):
            yield f"{entry.kind} says another {name} than its contents"


def _tagged(entry: Opened, name: str, data: bytes | None) -> Iterator[str]:
    if data is not None and entry.body.get(name) not in entry.tags(name, data):
        yield f"{entry.kind} says another {name} than its contents"


def _sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _shadow(decided: JsonObject, would: JsonObject) -> JsonObject:
    """What a body says of what packages in the shadow would have decided."""
    context = would["context"]
    verdict = "deny" if context["access_request"] is None else "ask"
    codes = _codes(context) - _codes(decided["context"])
    return {"verdict": "allow" if would["decision"] else verdict, "codes": sorted(codes)}


def _codes(context: JsonObject) -> set[str]:
    return {*context["rules"], *(each["code"] for each in context["reasons"])}
