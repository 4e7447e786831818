"""Which calls fit what a responder looks for in their sealed contents."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson

from permissions.inquiry.contents import Closed
from permissions.tools.targets import minor_digits

if TYPE_CHECKING:
    from permissions.inquiry.call_record import CallRecord
    from permissions.model import JsonObject


@dataclass(frozen=True, slots=True)
class ContentFilter:
    """What the arguments of a call have to hold. Upper and lower case are one."""

    arguments: tuple[tuple[str, str], ...] = ()
    """Names, and a text that each argument's JSON has in it; any argument without a name."""
    least: Decimal | None = None
    """Of an amount, in units of its currency."""
    most: Decimal | None = None
    recipient: str | None = None
    """A part of an address it sends to."""

    @property
    def needs_contents(self) -> bool:
        """Whether anything sealed has to be looked at."""
        return self != ContentFilter()

    def fits(self, call: CallRecord) -> bool | None:
        """Whether a call is looked for; None when its contents cannot be opened."""
        if not self.needs_contents:
            return True
        found: list[bool] = []
        if self.arguments:
            if isinstance(call.arguments, Closed):
                return None
            found.extend(_holds(call.arguments, *each) for each in self.arguments)
        if self.least is not None or self.most is not None or self.recipient is not None:
            if isinstance(call.question, Closed):
                return None
            found.append(self._fits_targets(call.targets))
        return all(found)

    def _fits_targets(self, targets: list[JsonObject]) -> bool:
        amount = self.least is None and self.most is None
        person = self.recipient is None
        for each in targets:
            if each["kind"] == "amount":
                amount |= self._in_range(each)
            elif each["kind"] == "recipient" and self.recipient is not None:
                person |= self.recipient.casefold() in str(each["address"]).casefold()
        return amount and person

    def _in_range(self, target: JsonObject) -> bool:
        units = Decimal(target["minor"]).scaleb(-minor_digits(target["currency"]))
        return (self.least is None or units >= self.least) and (
            self.most is None or units <= self.most
        )


def _holds(arguments: object, name: str, text: str) -> bool:
    if not isinstance(arguments, dict):
        return False
    looked_at = (
        arguments.values() if not name else [arguments[name]] if name in arguments else []
    )
    return any(text.casefold() in _written(each).casefold() for each in looked_at)


def _written(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
