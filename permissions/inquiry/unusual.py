"""What a call would do that calls of its tool have not done before: a pure function over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from permissions.approval.reading import amount_in_words
from permissions.approval.text import literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from permissions.inquiry.call_record import CallRecord
    from permissions.model import JsonObject

DAYS: Final = 30
_FACTOR: Final = 10
"""From so many times the largest amount on it is said as a factor."""


@dataclass(slots=True)
class Habits:
    """What earlier calls of one tool did that ran: only these say what is usual."""

    calls: int = 0
    closed: int = 0
    """Calls whose inputs cannot be opened."""
    seen: dict[str, set[str]] = field(default_factory=dict)
    """By kind of target: what it was."""
    largest: dict[str, int] = field(default_factory=dict)
    """By currency: the largest amount, in its smallest unit."""

    @classmethod
    def of(cls, calls: Iterable[CallRecord]) -> Habits:
        """What these calls did, as far as they ran."""
        habits = cls()
        for call in calls:
            if call.start is not None:
                habits.take(call.targets, is_closed=not isinstance(call.question, dict))
        return habits

    def take(self, targets: Sequence[JsonObject], *, is_closed: bool = False) -> None:
        """Takes one call in."""
        self.calls += 1
        self.closed += is_closed
        for target in targets:
            for kind, what, _ in _told(target):
                self.seen.setdefault(kind, set()).add(what)
            if target["kind"] == "amount":
                currency, minor = str(target["currency"]), int(target["minor"])
                self.largest[currency] = max(minor, self.largest.get(currency, 0))


def unusual(targets: Sequence[JsonObject], habits: Habits) -> list[str]:
    """What is new about a call with these targets, a sentence each; in words for a screen."""
    found = [
        f"first time {words}"
        for target in targets
        for kind, what, words in _told(target)
        if what not in habits.seen.get(kind, ())
    ]
    for target in targets:
        if target["kind"] == "amount":
            found += _amount(str(target["currency"]), int(target["minor"]), habits)
    return list(dict.fromkeys(found))


def _amount(currency: str, minor: int, habits: Habits) -> Iterator[str]:
    said = amount_in_words(currency, minor)
    most = habits.largest.get(currency)
    if most is None:
        yield f"first time an amount in {currency}: {said}"
    elif minor > most:
        times = f", {minor // most} times that" if minor >= most * _FACTOR else ""
        yield f"{said} is more than ever before ({amount_in_words(currency, most)}){times}"


def _told(target: JsonObject) -> Iterator[tuple[str, str, str]]:
    """What of a target is worth knowing again: its kind, itself, and how people say it."""
    given: Any = target
    match target["kind"]:
        case "recipient":
            address = str(given["address"])
            yield "recipient", address.casefold(), f"to {literal(address)}"
        case "host":
            host = str(given["host"])
            yield "host", host.casefold(), f"at the host {literal(host)}"
        case "path":
            folder = str(PurePosixPath(str(given["resolved"])).parent)
            access = str(given["access"])
            yield f"{access} path", folder, f"it is to {access} in the folder {literal(folder)}"
        case "command":
            program = str(given["argv"][0]) if given["argv"] else ""
            yield "program", program, f"it is to start {literal(program)}"
        case "resource":
            name = f"{given['type']} {given['name']}"
            yield "resource", name, f"on {literal(name)}"
        case _:
            return
