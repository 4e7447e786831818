"""`time.add_date` and RFC 3339 as Go has them, in nanoseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECOND = 10**9
_DAY = 86_400
_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9})\d*)?"
    r"(?:Z|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)


def add_date(moment: Any, years: int, months: int, days: int) -> int:
    """`time.add_date`: what is beyond the end of a month runs over into the next."""
    if any(type(each) is not int for each in (years, months, days)):
        raise TypeError("years, months and days are integers")
    nanoseconds, zone = _moment(moment)
    seconds, rest = divmod(nanoseconds, _SECOND)
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    local = local.astimezone(zone) if zone else local
    year, month = divmod(local.year * 12 + local.month - 1 + years * 12 + months, 12)
    found = date(year, month + 1, 1) + timedelta(days=local.day - 1 + days)
    if zone is None:
        clock = local.hour * 3600 + local.minute * 60 + local.second
        total = (found - date(1970, 1, 1)).days * _DAY + clock
    else:
        there = datetime.combine(found, local.time(), tzinfo=zone)
        if not _is_plain(there):
            raise ValueError("a time that a change of clocks skips or repeats")
        total = int((there.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return _bounded(total * _SECOND + rest)


def _is_plain(there: datetime) -> bool:
    offsets = {there.replace(fold=fold).utcoffset() for fold in (0, 1)}
    return len(offsets) == 1 and there.astimezone(UTC).astimezone(there.tzinfo) == there


def _moment(value: Any) -> tuple[int, ZoneInfo | None]:
    zone = None
    if isinstance(value, list):
        if not 1 <= len(value) <= 2 or not all(isinstance(each, str) for each in value[1:]):
            raise TypeError("a moment is a number, or a number and a zone")
        name = value[1] if len(value) == 2 else ""
        if name == "Local":
            raise ValueError("the zone of this machine")
        zone = None if name in ("", "UTC") else ZoneInfo(name)
        value = value[0]
    if type(value) is not int:
        raise TypeError("a moment is an integer")
    return _bounded(value), zone


def _bounded(nanoseconds: int) -> int:
    if not -(2**63) <= nanoseconds < 2**63:
        raise ValueError("a time outside of the valid range")
    return nanoseconds


def parse_rfc3339(text: str) -> int:
    """`time.parse_rfc3339_ns`."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("no time of RFC 3339")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    if second > 59 or hour > 23 or int(hours or 0) > 24 or int(minutes or 0) > 60:
        raise ValueError("no time of RFC 3339")
    at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    total = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    offset = (int(hours) * 60 + int(minutes)) * 60 if sign else 0
    total -= -offset if sign == "-" else offset
    return _bounded(total * _SECOND + int((fraction or "").ljust(9, "0")))


TIMES: Mapping[str, tuple[int, Any]] = {
    "time.add_date": (4, add_date),
    "time.parse_rfc3339_ns": (1, parse_rfc3339),
}
"""Arity and function per builtin."""
