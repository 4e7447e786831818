"""An amount of money as a target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from permissions.errors import ToolDefinitionError
from permissions.tools.targets.base import TargetError

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue


_AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.(?P<fraction>[0-9]{1,40}))?")


@dataclass(frozen=True, slots=True)
class AmountArg:
    """An amount of money: an integer, a decimal string, or a float of few digits.

    `currency_from` names the argument that holds the currency (ISO 4217, three capitals), where
    it is not fixed; `decimals` is then that of the currency.
    """

    currency: str = "EUR"
    decimals: int = 2
    currency_from: str | None = None
    kind = "amount"
    control = True

    def __post_init__(self) -> None:
        """Refuses a currency that no table can list, and decimals that are none.

        Raises:
            ToolDefinitionError: it is not in capitals and digits; not 0 to 18 decimals.
        """
        if type(self.decimals) is not int or not 0 <= self.decimals <= 18:
            raise ToolDefinitionError(
                f"AmountArg(decimals={self.decimals!r:.40}): say how many decimals, 0 to 18"
            )
        if not re.fullmatch(r"[A-Z0-9]{1,16}", self.currency):
            raise ToolDefinitionError(
                f"AmountArg({self.currency!r:.40}): a currency is written in capitals, as in EUR"
            )

    def within(self, document: JsonObject) -> AmountArg:
        """The mark with the currency that one call's arguments name.

        Raises:
            TargetError: it is no currency of three capitals.
        """
        if self.currency_from is None:
            return self
        currency = document[self.currency_from]
        if not isinstance(currency, str) or not re.fullmatch(r"[A-Z]{3}", currency):
            raise TargetError(
                f"has no currency: {self.currency_from} is not three capitals like EUR"
            )
        return AmountArg(currency, minor_digits(currency))

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """In the smallest unit; more digits than the currency has are refused, not rounded.

        The tool gets a text as it was given, so it must be one that every reader takes for the
        same number: no 1e3, 1_000 or 1,000, no 0980 (octal to some), and no 12.000, which is
        twelve thousand to others.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TargetError("is not an amount")
        if isinstance(value, str):
            written = _AMOUNT.fullmatch(value)
            if written is None:
                raise TargetError("is not a plain decimal number like 980.00")
            if len(written["fraction"] or "") > self.decimals:
                raise TargetError(f"has more than {self.decimals} decimals")
        try:
            minor = Decimal(str(value)).scaleb(self.decimals)
        except ArithmeticError as err:
            raise TargetError("is not a decimal number") from err
        if not minor.is_finite() or minor != minor.to_integral_value():
            raise TargetError(f"has more than {self.decimals} decimals or is not finite")
        if not 0 < minor <= 2**53 - 1:
            raise TargetError("is not greater than zero, or beyond what can be counted exactly")
        return {"currency": self.currency, "minor": int(minor)}

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        named = {"currency_from": self.currency_from} if self.currency_from else {}
        return {
            "kind": self.kind,
            "currency": self.currency,
            "decimals": self.decimals,
            **named,
        }


_MINOR_DIGITS = {
    **dict.fromkeys(["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}  # fmt: skip


def minor_digits(currency: str) -> int:
    """Decimals of a currency: two, but for those ISO 4217 lists with others (2024)."""
    return _MINOR_DIGITS.get(currency, 2)
