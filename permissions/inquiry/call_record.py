"""One call as its entries tell it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from permissions.inquiry.contents import Closed, shown
from permissions.trace.index_tables import how_ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.inquiry.contents import Contents
    from permissions.model import JsonObject
    from permissions.trace.reader import RecordedEntry


class Question(NamedTuple):
    """What policies were asked about a call, and the entry with their answer."""

    entry: RecordedEntry
    action: str
    document: JsonObject | Closed


class CallRecord:
    """A call's entries, in order, the first of them its intent."""

    def __init__(self, entries: Sequence[RecordedEntry], contents: Contents) -> None:
        self.entries = entries
        self.contents = contents
        first = entries[0]
        self.index, self.time = first.index, first.time
        self.run, self.call = str(first.run), str(first.call)
        self.tool: str | None = first.body.get("tool")

    @property
    def intent(self) -> RecordedEntry:
        """The entry it began with."""
        return self.entries[0]

    @cached_property
    def arguments(self) -> Any:
        """As they were given, or `Closed`."""
        return self.contents.json(self.intent, "arguments")

    @cached_property
    def start(self) -> RecordedEntry | None:
        """The entry that says it is about to run, if it was."""
        return next((each for each in self.entries if each.type == "start"), None)

    @cached_property
    def last(self) -> RecordedEntry | None:
        """The entry it ended with."""
        ends = ("denied", "outcome", "gap")
        return next((each for each in self.entries if each.type in ends), None)

    @property
    def ended(self) -> str:
        """How, in a word; `open` without an end."""
        return "open" if self.last is None else how_ended(self.last.type, self.last.body)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """Every question policies were asked about it."""
        return tuple(self._questions())

    def _questions(self) -> Iterator[Question]:
        first: JsonObject | Closed = Closed("the first input of its call cannot be opened")
        for entry in self.entries:
            if entry.type == "decision":
                document = self.contents.asked(entry, first)
                if "input" in entry.digests:
                    first = document
                yield Question(entry, str(entry.body.get("action", "tools/call")), document)

    @cached_property
    def question(self) -> JsonObject | Closed:
        """What was asked last about the call itself, before it ran or did not."""
        found: JsonObject | Closed = Closed("no policy was asked")
        for each in self.questions:
            if each.action == "tools/call":
                found = each.document
        return found if isinstance(found, Closed) else _in_form(found)

    @property
    def provenance(self) -> JsonObject:
        """By pointer: where its arguments came from. Empty when that cannot be opened."""
        if isinstance(self.question, Closed):
            return {}
        found: JsonObject = self.question["context"]["provenance"]
        return found

    @property
    def targets(self) -> list[JsonObject]:
        """What its arguments lead to. Empty when that cannot be opened."""
        if isinstance(self.question, Closed):
            return []
        found: list[JsonObject] = self.question["resource"]["properties"].get("targets", [])
        return found

    @cached_property
    def approvers(self) -> tuple[str, ...]:
        """Whose approval it ran or was committed with."""
        names = [
            str(name)
            for each in self.entries
            if each.type == "approval"
            for name in each.body.get("approvers", ())
        ]
        return tuple(dict.fromkeys(names))

    @property
    def reasons(self) -> list[str]:
        """Codes of why it ended so, else of its last decision."""
        codes: list[str] = []
        for each in self.entries:
            if each.type == "decision" and (
                self.start is None or each.index < self.start.index
            ):
                codes = each.body.get("reasons", [])
            elif each.type in ("denied", "effect"):
                codes = each.body.get("codes") or codes
        return codes

    def summary(self) -> JsonObject:
        """It on one line of JSON: what, when, with what, how it ended, by whose word."""
        permitted, changes = None, None
        for each in self.entries:
            if each.type == "decision" and (
                self.start is None or each.index < self.start.index
            ):
                permitted = each.body.get("permitted", False)
            elif each.type == "effect" and each.body.get("kind") in ("changes", "fate"):
                changes = each.body.get("fate", "held")
        return {
            "index": self.index,
            "time": self.time,
            "run": self.run,
            "call": self.call,
            "tool": self.tool,
            "arguments": shown(self.arguments),
            "amounts": [
                {name: each[name] for name in ("argument", "currency", "minor")}
                for each in self.targets
                if each["kind"] == "amount"
            ],
            "permitted": permitted,
            "reasons": self.reasons,
            "approvers": list(self.approvers),
            "isolation": None if self.start is None else self.start.body.get("isolation"),
            "changes": changes,
            "end": self._end_text(),
            "outcome": self.ended,
        }

    def _end_text(self) -> str:
        if self.last is None:
            return "open"
        match self.last.type:
            case "denied":
                return str(self.last.body.get("kind"))
            case "outcome":
                withheld = ", result withheld" if self.last.body.get("withheld") else ""
                return f"ran: {self.last.body.get('status')}{withheld}"
            case _:
                return "outcome unknown"


def _in_form(asked: JsonObject) -> JsonObject | Closed:
    """What was asked, if it has the members that are read here."""
    match asked:
        case {
            "context": {"provenance": {**_provenance}},
            "resource": {"properties": {**_properties}},
        }:
            return asked
    return Closed("what was asked is not in the form of the policy contract")
