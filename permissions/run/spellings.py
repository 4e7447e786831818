"""One value in several spellings, told by its kind: what all of them mean.

    mail address   case, `mailto:`                          email:eve@x.example
    link           case of scheme and host, default port    url:https://x.example/a
    account        spaces, dashes, case (ISO 13616)         account:DE0212…
    phone number   spaces, brackets, 00 for + (E.164)       phone:+4930901820
    date           2026-05-15, 15.05.2026, May 15, 2026     date:2026-05-15
    amount         1,980.00 and 1.980,00, with a currency   1980.0, a number

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
_URL = re.compile(r"(?:https?|ftp|wss?)://\S+", re.IGNORECASE)
_ACCOUNT = re.compile(
    r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{2,4}){2,8}(?:[ -]?[A-Z0-9])?", re.IGNORECASE
)
_SPOKEN_ACCOUNT = re.compile(
    r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?(?=[A-Z]*[0-9])[A-Z0-9]{1,3})?"
)
"""In a sentence: groups of four, so that no word after it is taken for one."""
_PHONE = re.compile(r"(?:\+|00)[0-9][0-9 ()./-]{6,24}[0-9]")
_DATE = re.compile(
    r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}"
    r"|[0-9]{1,2}(?:st|nd|rd|th)?\.? [A-Za-z]{3,9},? [0-9]{4}"
    r"|[A-Za-z]{3,9}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4}"
)
_MONTHS = ("%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y")
_CURRENCY = r"(?:[A-Z]{3}|[€$£¥])"
_AMOUNT = re.compile(
    rf"(?:{_CURRENCY} ?)?(?P<number>[0-9]{{1,3}}(?:,[0-9]{{3}})+(?:\.[0-9]{{1,2}})?"
    r"|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{1,2}|[0-9]{1,3}(?:\.[0-9]{3}){2,}"
    rf"|[0-9]+(?:\.[0-9]{{1,2}})?)(?: ?{_CURRENCY})?"
)
_MAY_BE = re.compile(r"[0-9@]|://")


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
    for form in (_EMAIL, _URL, _PHONE, _SPOKEN_ACCOUNT, _DATE):
        for match in form.finditer(text):
            before, after = text[: match.start()][-1:], text[match.end() :][:1]
            if not (_joins(before) or _joins(after)):
                yield from meanings(match[0].rstrip(".,;:!?)"))
    for match in _EUROPEAN.finditer(text):
        yield _number(match[0])


_EUROPEAN = re.compile(r"(?<![\w.,])[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{1,2}(?![\w,]|\.[0-9])")


def folded(text: str) -> str:
    """In one case, and with single spaces."""
    return " ".join(text.casefold().split())


def _joins(sign: str) -> bool:
    """Whether a value goes on beyond what was found of it."""
    return sign.isalnum() or sign in ("@", "_", "-", "+")


def _link(text: str) -> str | None:
    try:
        parts = urlsplit(text)
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


def _number(written: str) -> float:
    if "," in written and "." in written:
        separators = ",." if written.rfind(".") > written.rfind(",") else ".,"
        written = written.replace(separators[0], "").replace(separators[1], ".")
    elif "," in written:
        written = written.replace(",", "")
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
    (_AMOUNT, _amount),
)
