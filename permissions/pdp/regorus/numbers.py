"""OPA's arithmetic: integers of any size, fractions with a mantissa of 64 bits (Go's `big.Float`).

The engine itself knows fractions of 53 bits only. So a result that OPA would write with more
digits than such a number holds is refused (`0.1 * 3` is 0.3 in both; `1.1 * 3` is
3.3000000000000000002 in OPA), as are integers beyond 64 bits.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Number = int | float

_MANTISSA_BITS = 64
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_AMOUNT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_SI = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
_IEC = {f"{unit}i": 2 ** (10 * power) for power, unit in enumerate("kmgtpe", 1)}


def plus(one: Any, other: Any) -> Number:
    """`one + other`."""
    if _are_integers(one, other):
        return _handed_on(one + other)
    return _fraction(_wide(one) + _wide(other))


def minus(one: Any, other: Any) -> Number:
    """`one - other`, of numbers."""
    if _are_integers(one, other):
        return _handed_on(one - other)
    return _fraction(_wide(one) - _wide(other))


def times(one: Any, other: Any) -> Number:
    """`one * other`."""
    if _are_integers(one, other):
        return _handed_on(one * other)
    return _fraction(_wide(one) * _wide(other))


def divided(one: Any, other: Any) -> Number:
    """`one / other`."""
    if _wide(other) == 0:
        raise ValueError("divide by zero")
    return _fraction(_wide(one) / _wide(other))


def modulo(one: Any, other: Any) -> int:
    """`one % other`, with the sign of `one`."""
    if not _are_integers(one, other) or other == 0:
        raise ValueError("modulo is of integers, and not by zero")
    rest = abs(one) % abs(other)
    return int(-rest if one < 0 else rest)


def total(numbers: Any) -> Number:
    """`sum(numbers)`."""
    values = _numbers(numbers)
    if _are_integers(*values):
        return _handed_on(sum(values))
    found = Fraction(0)
    for value in values:
        found = _round(found + _wide(value), _MANTISSA_BITS)
    return _fraction(found)


def product(numbers: Any) -> Number:
    """`product(numbers)`, of whose fractions OPA keeps 53 bits only."""
    values = _numbers(numbers)
    found = Fraction(1)
    if _are_integers(*values):
        for value in values:
            found *= value
        return _handed_on(int(found))
    for value in values:
        found = _round(found * _wide(value), 53)
    return _fraction(found)


def absolute(number: Any) -> Number:
    """`abs(number)`."""
    if type(number) is int:
        return _handed_on(abs(number))
    return _fraction(abs(_wide(number)))


def rounded(number: Any) -> int:
    """`round(number)`: halves away from zero."""
    half = Fraction(1, 2) if _wide(number) >= 0 else Fraction(-1, 2)
    return _handed_on(int(_round(_wide(number) + half, _MANTISSA_BITS)))


def floor(number: Any) -> int:
    """`floor(number)`; OPA gives 0 for what is between -1 and 0, so that is refused."""
    if -1 < _wide(number) < 0:
        raise ValueError("a fraction between -1 and 0")
    return _handed_on(_wide(number).__floor__())


def ceil(number: Any) -> int:
    """`ceil(number)`; OPA gives 1 for what is between -1 and 0, so that is refused."""
    if -1 < _wide(number) < 0:
        raise ValueError("a fraction between -1 and 0")
    return _handed_on(_wide(number).__ceil__())


def format_int(number: Any, base: Any) -> str:
    """`format_int(number, base)`: a fraction is cut off."""
    kind = {2: "b", 8: "o", 10: "d", 16: "x"}[base]
    return format(_wide(number).__trunc__(), kind)


def to_number(value: Any) -> Number:
    """`to_number(value)`: numbers in text as JSON writes them; others are refused."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        _wide(value)
        return value  # type: ignore[no-any-return]
    if not _JSON_NUMBER.fullmatch(value):
        raise ValueError("no number as JSON writes it")
    return _exact(Fraction(value))


def range_step(first: Any, last: Any, step: Any) -> list[int]:
    """`numbers.range_step(first, last, step)`, of at most 10,000 numbers."""
    if not _are_integers(first, last, step) or step <= 0:
        raise ValueError("bounds are integers, and the step is above zero")
    if abs(first - last) // step > MOST_NUMBERS:
        raise ValueError("a range this long is refused")
    way = 1 if first <= last else -1
    return list(range(first, last + way, way * step))


MOST_NUMBERS = 10_000


def parse_units(text: str) -> Number:
    """`units.parse(text)`: SI and binary units; `m` is milli and `M` mega."""
    number, unit = _amount(text.replace('"', ""))
    unit = unit[:1] + unit[1:].lower()
    if unit == "m":
        factor = Fraction(0.001)  # as Go has it: the nearest binary fraction
    elif unit in ("", "M"):
        factor = Fraction(_SI["m"] if unit else 1)
    elif unit.lower() in _IEC or unit.lower() in _SI.keys() - {"m"}:
        factor = Fraction((_IEC | _SI)[unit.lower()])
    else:
        raise ValueError("no unit")
    found = Fraction(number) * factor
    if found.denominator == 1:
        return _handed_on(int(found))
    scaled = abs(found) * 10**10
    digits = (scaled + Fraction(1, 2)).__floor__()
    return _exact(Fraction(digits if found > 0 else -digits, 10**10))


def parse_bytes(text: str) -> int:
    """`units.parse_bytes(text)`: bytes, fractions cut off."""
    number, unit = _amount(text.replace('"', "").lower())
    factors = {"": 1, **_IEC, **_SI}
    factors |= {f"{name}b": factor for name, factor in factors.items() if name}
    if unit not in factors:
        raise ValueError("no unit")
    wide = _round(Fraction(number), _MANTISSA_BITS)
    return _handed_on(int(_round(wide * factors[unit], _MANTISSA_BITS)))


def _amount(text: str) -> tuple[str, str]:
    """Number and unit, parted where Go's reader parts them; letters `e` may be either."""
    found = re.match(r"(?:[0-9.+-]|[eE][+-]?(?=[0-9])|[eE][+-])*", text)
    number = found[0] if found else ""
    if not _AMOUNT.fullmatch(number):
        raise ValueError("no amount")
    return number, text[len(number) :]


def _numbers(collection: Any) -> list[Any]:
    if not isinstance(collection, (list, set)):
        raise TypeError("no array or set")
    values = sorted(collection) if isinstance(collection, set) else collection
    for value in values:
        _wide(value)
    return list(values)


def _are_integers(*values: Any) -> bool:
    return all(type(value) is int for value in values)


def _wide(value: Any) -> Fraction:
    """A number as OPA reads it; what is none raises."""
    if type(value) is int:
        return Fraction(value)
    if type(value) is float:
        return _round(Fraction(repr(value)), _MANTISSA_BITS)
    raise TypeError("no number")


def _round(value: Fraction, bits: int) -> Fraction:
    """To so many binary digits, halves to even."""
    if value == 0:
        return value
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - bits + 1)
    return round(value / unit) * unit


def _fraction(value: Fraction) -> Number:
    """The value of 64 bits as a number of the engine, if OPA's text of it is that number's."""
    wide = _round(value, _MANTISSA_BITS)
    if abs(wide) > 2**53:
        raise ValueError("a result with more digits than the engine holds")
    if wide.denominator == 1:
        return int(wide)
    near = float(wide)
    if _round(Fraction(repr(near)), _MANTISSA_BITS) != wide:
        raise ValueError("a result with more digits than the engine holds")
    return near


def _exact(value: Fraction) -> Number:
    if value.denominator == 1:
        return _handed_on(int(value))
    near = float(value)
    if Fraction(repr(near)) != value:
        raise ValueError("a number with more digits than the engine holds")
    return near


def _handed_on(value: int) -> int:
    if not _SMALLEST <= value <= _LARGEST:
        raise ValueError("an integer beyond 64 bits")
    return value


def shifted_left(number: Any, by: Any) -> int:
    """`bits.lsh`, of at most 64 bits."""
    if not _are_integers(number, by) or not 0 <= by <= _MANTISSA_BITS:
        raise ValueError("an integer, moved by 0 to 64 bits")
    return _handed_on(number << by)


NUMBERS: Mapping[str, tuple[int, Any]] = {
    "__opa_plus": (2, plus),
    "__opa_minus": (2, minus),
    "__opa_times": (2, times),
    "__opa_divided": (2, divided),
    "__opa_modulo": (2, modulo),
    "abs": (1, absolute),
    "bits.lsh": (2, shifted_left),
    "ceil": (1, ceil),
    "floor": (1, floor),
    "format_int": (2, format_int),
    "numbers.range_step": (3, range_step),
    "product": (1, product),
    "round": (1, rounded),
    "sum": (1, total),
    "to_number": (1, to_number),
    "units.parse": (1, parse_units),
    "units.parse_bytes": (1, parse_bytes),
}
"""Arity and function per builtin."""
