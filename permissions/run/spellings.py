"""One value in several spellings, told by its kind: what all of them mean.

    mail address   case, `mailto:`                          email:eve@x.example
    link           case of scheme and host, default port,   url:https://x.example/a
                   https where it begins with www.
    account        spaces, dashes, case (ISO 13616)         account:DE0212…
    phone number   spaces, brackets, 00 for + (E.164)       phone:+4930901820
    date           2026-05-15, 15.05.2026, May 15, 2026     date:2026-05-15
    time           a date with 10:00, at 10 am or T10:00    time:2026-05-15T10:00
    amount         1,980.00, 1.980,00, 1'980.00, and with   1980.0, a number
                   a currency 1 980,00 and 12,50

What has two readings (03/04/2026, 1.980) has none here. Names and other words are no kind:
`acme` is not `ACME`, except that an untrusted text stays untrusted in any case (`folded`).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LENGTH: Final = 200
"""Characters of a value that may be one of these."""

_EMAIL = re.compile(r"(?:mailto:)?([^\s@<>]{1,64}@(?:[\w-]+\.)+[a-z]{2,24})", re.IGNORECASE)
_URL = re.compile(r"(?:(?:https?|ftp|wss?)://|www\.(?=[\w-]+\.))[^\s\"'`<>]+", re.IGNORECASE)
_ACCOUNT = re.compile(
    r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{2,4}){2,8}(?:[ -]?[A-Z0-9])?", re.IGNORECASE
)
_SPOKEN_ACCOUNT = re.compile(
    r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?(?=[A-Z]*[0-9])[A-Z0-9]{1,3})?"
)
"""In a sentence: groups of four, so that no word after it is taken for one."""
_WRITTEN_ACCOUNT = re.compile(
    r"[A-Z]{2}[0-9]{2}(?:-?[A-Z0-9]{4}){2,7}(?:-?[A-Z0-9]{1,3})?", re.IGNORECASE
)
"""In one word, in any case."""
_PHONE = re.compile(r"(?:\+|00)[0-9][0-9 ()./-]{6,24}[0-9]")
_DATE = re.compile(
    r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}"
    r"|[0-9]{1,2}(?:st|nd|rd|th)?\.? [A-Za-z]{3,9},? [0-9]{4}"
    r"|[A-Za-z]{3,9}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4}"
)
_TIME = re.compile(
    rf"(?P<date>{_DATE.pattern})(?:T|,? (?:at )?)"
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.0+)?)?)?"
    r"(?: ?(?P<half>[ap])\.?m\b)?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
_MONTHS = ("%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y")
_CURRENCY = r"(?:[A-Z]{3}|[€$£¥])"
_SPACE = "[ \u00a0\u2009\u202f]"
_PLAIN = (
    r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]{1,2})?|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{1,2}"
    r"|[0-9]{1,3}(?:\.[0-9]{3}){2,}|[0-9]{1,3}(?:['\u2019][0-9]{3})+(?:\.[0-9]{1,2})?"
    r"|[0-9]+(?:\.[0-9]{1,2})?"
)
_WITH_CURRENCY = (
    rf"[0-9]{{1,3}}(?:{_SPACE}[0-9]{{3}})+(?:[.,][0-9]{{1,2}})?|[0-9]+,[0-9]{{1,2}}"
)
"""Without one, these are as well two numbers beside each other."""
_AMOUNT = re.compile(
    rf"(?:{_CURRENCY} ?)?(?:{_PLAIN})(?: ?{_CURRENCY})?"
    rf"|{_CURRENCY} ?(?:{_WITH_CURRENCY})|(?:{_WITH_CURRENCY}) ?{_CURRENCY}"
)
_SPOKEN_AMOUNT = re.compile(
    rf"(?<![\w.,'\u2019])(?<![0-9]{_SPACE})"
    rf"(?:{_CURRENCY} ?(?:{_WITH_CURRENCY}|{_PLAIN})|(?:{_WITH_CURRENCY}|{_PLAIN}) ?{_CURRENCY})"
    rf"(?!\w|[.,'\u2019:][0-9]|{_SPACE}[0-9])"
)
"""In a sentence, beside a currency, and no part of a longer number."""
_MAY_BE = re.compile(r"[0-9@]|://|www\.", re.IGNORECASE)


def meanings(value: str) -> Iterator[str | float]:
    """What a whole value means, by the kind that it is; nothing for most texts."""
    if len(value) > MAX_LENGTH or not _MAY_BE.search(value):
        return
    text = value.strip()
    for form, read in _KINDS:
        if form.fullmatch(text):
            meaning = read(text)
            if meaning is not None:
                yield meaning
            return


def spoken_meanings(text: str) -> Iterator[str | float]:
    """What a text of the person holds, in whichever spelling."""
    for meaning, _ in spoken_addresses(text):
        yield meaning
    for form in (_DATE, _TIME):
        yield from (meaning for meaning, _ in _found(form, text))
    for form in (_EUROPEAN, _SPOKEN_AMOUNT):
        for match in form.finditer(text):
            yield _amount(match[0])


def spoken_addresses(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Mail addresses, links, phone numbers and accounts of a text, and where they stand.

    By what they mean, also where they hold spaces: `account:DE0212…`.
    """
    low = text.lower()
    for signs, form in _SPOKEN:
        if any(sign in low for sign in signs):
            for meaning, where in _found(form, text):
                if isinstance(meaning, str):
                    yield meaning, where


_SPOKEN: Final = (
    (("@",), _EMAIL),
    (("://", "www."), _URL),
    (("+", "00"), _PHONE),
    (tuple("0123456789"), re.compile(rf"\b(?:{_SPOKEN_ACCOUNT.pattern})")),
    (tuple("0123456789"), re.compile(rf"\b(?:{_WRITTEN_ACCOUNT.pattern})", re.IGNORECASE)),
)
"""What a text has to hold, in small letters, and the form that is then looked for."""


def _found(form: re.Pattern[str], text: str) -> Iterator[tuple[str | float, tuple[int, int]]]:
    for match in form.finditer(text):
        before = text[max(0, match.start() - 1) : match.start()]
        after = text[match.end() : match.end() + 1]
        if _joins(before) or _joins(after):
            continue
        written = match[0].rstrip(_AFTER)
        for meaning in meanings(written):
            yield meaning, (match.start(), match.start() + len(written))


_AFTER = ".,;:!?)]}>\"'"
"""Signs that stand after an address, and are no part of it."""
_EUROPEAN = re.compile(r"(?<![\w.,])[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{1,2}(?![\w,]|\.[0-9])")


def folded(text: str) -> str:
    """In one case, and with single spaces."""
    return " ".join(text.casefold().split())


def _joins(sign: str) -> bool:
    """Whether a value goes on beyond what was found of it."""
    return sign.isalnum() or sign in ("@", "_", "-", "+")


def _link(text: str) -> str | None:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        return None
    default = {"http": 80, "https": 443, "ftp": 21, "ws": 80, "wss": 443}
    scheme, host = parts.scheme.lower(), (parts.hostname or "").removesuffix(".")
    at = "" if port in (None, default.get(scheme)) else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    user = "" if parts.username is None else f"{parts.username}@"
    return f"url:{scheme}://{user}{host}{at}{parts.path or '/'}{query}"


def _phone(text: str) -> str | None:
    import phonenumbers

    spelled = "+" + text[2:] if text.startswith("00") else text
    try:
        number = phonenumbers.parse(spelled, None)
    except phonenumbers.NumberParseException:
        return None
    form = phonenumbers.PhoneNumberFormat.E164
    return "phone:" + phonenumbers.format_number(number, form)


def _date(text: str) -> str | None:
    digits = [int(each) for each in re.findall(r"[0-9]+", text)]
    if len(digits) == 3 and digits[0] > 31:
        return _day(*digits)
    if len(digits) == 3:
        first, second, year = digits
        if "." in text or first > 12:
            return _day(year, second, first)
        return _day(year, first, second) if second > 12 or first == second else None
    words = re.sub(r"(?<=[0-9])(?:st|nd|rd|th)|[.,]", "", text)
    for form in _MONTHS:
        try:
            return "date:" + datetime.strptime(words, form).date().isoformat()  # noqa: DTZ007
        except ValueError:
            continue
    return None


def _day(year: int, month: int, day: int) -> str | None:
    try:
        return "date:" + datetime(year, month, day).date().isoformat()  # noqa: DTZ001
    except ValueError:
        return None


def _time(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    day = None if match is None else _date(match["date"])
    if match is None or day is None or (match["minute"] is None and match["half"] is None):
        return None
    hour, half = int(match["hour"]), (match["half"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    minute, second = match["minute"] or "00", match["second"] or "00"
    if hour > 23 or int(minute) > 59 or int(second) > 59:
        return None
    exact = "" if second == "00" else f":{second}"
    zone = (match["zone"] or "").upper().replace(":", "")
    return f"time:{day.removeprefix('date:')}T{hour:02}:{minute}{exact}{zone}"


def _number(written: str) -> float:
    if "," in written and "." in written:
        separators = ",." if written.rfind(".") > written.rfind(",") else ".,"
        written = written.replace(separators[0], "").replace(separators[1], ".")
    elif "," in written:
        written = written.replace(
            ",", "." if re.fullmatch("[0-9]+,[0-9]{1,2}", written) else ""
        )
    elif written.count(".") > 1:
        written = written.replace(".", "")
    return float(written) if "." in written else int(written)


def _email(text: str) -> str:
    return "email:" + text.lower().removeprefix("mailto:")


def _account(text: str) -> str:
    return "account:" + re.sub(r"[ -]", "", text).upper()


def _amount(text: str) -> float:
    return _number(re.sub(r"[^0-9.,]", "", text))


_KINDS: Final[tuple[tuple[re.Pattern[str], Callable[[str], str | float | None]], ...]] = (
    (_EMAIL, _email),
    (_URL, _link),
    (_PHONE, _phone),
    (_ACCOUNT, _account),
    (_DATE, _date),
    (_TIME, _time),
    (_AMOUNT, _amount),
)
