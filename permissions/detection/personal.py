"""Personal data that has a form: addresses, numbers of phones, accounts, cards and persons.

What has a check digit is checked by libraries that know it (phonenumbers, python-stdnum); what
has none counts only where a word before it says what it is.

Not protected from: names, postal addresses, faces, health, and whatever else is personal by what
it means. A classifier of one's own can be added for those (`wardline.detectors`).
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

import re2

from permissions.detection.finding import Found
from permissions.detection.views import views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.detection.views import View

_EMAIL: Final = re2.compile(
    r"[A-Za-z0-9.!#$%&'*+=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b"
)
_MANY_DIGITS: Final = re2.compile(r"[0-9](?:[ ./()+-]{0,2}[0-9]){6}")
_IBAN: Final = re2.compile(r"(?i)\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}\b")
_CARD: Final = re2.compile(r"\b[2-6][0-9]{3}(?:[ -]?[0-9]){8,15}\b")
_PLUS_PHONE: Final = re2.compile(r"(?:\+|\b00)[1-9](?:[ ./()-]{0,2}[0-9]){6,14}\b")
_SAID_PHONE: Final = re2.compile(
    r"(?i)\b(?:phone|telephone|tel|mobile|mobil|cell|handy|fax|whatsapp|sms|call(?: me| us| him| her)?(?: at| on)?|telefon|t[ée]l[ée]fono?)"
    r"[\w .]{0,12}[:=#]?\s{0,3}(\(?[0-9](?:[ ./()-]{0,2}[0-9]){6,14})\b"
)
_BORN: Final = re2.compile(
    r"(?i)\b(?:born(?: on)?|date of birth|birth ?date|birthday|dob|geboren(?: am)?|geburtsdatum|n[ée]e? le)"
    r"\W{0,4}((?:[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{2,4})|(?:[0-9]{1,2}\.? (?:[A-Za-zäé]{3,9}) [0-9]{4})|(?:[A-Za-z]{3,9} [0-9]{1,2}, [0-9]{4}))"
)
_PASSPORT: Final = re2.compile(
    r"(?i)\b(?:passport|reisepass|passeport)(?: ?(?:no|number|nr|num[ée]ro))?\W{0,4}([A-Z]{0,2}[0-9][A-Z0-9]{5,8})\b"
)
_ID_FORMS: Final[tuple[tuple[str, str, str], ...]] = (
    # module of stdnum, its form, and a word that has to stand before it ("" for none)
    ("us.ssn", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", ""),
    ("us.ssn", r"\b[0-9]{9}\b", r"ssn|social security"),
    ("es.dni", r"\b[0-9]{8}-?[A-Z]\b", ""),
    ("es.nie", r"\b[XYZ]-?[0-9]{7}-?[A-Z]\b", ""),
    ("it.codicefiscale", r"\b[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]\b", ""),
    ("fr.nir", r"\b[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b", ""),
    ("br.cpf", r"\b[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}\b", ""),
    ("in_.aadhaar", r"\b[2-9][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}\b", ""),
    ("in_.pan", r"\b[A-Z]{5}[0-9]{4}[A-Z]\b", ""),
    ("be.nn", r"\b[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}\b", ""),
    ("ch.ssn", r"\b756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}\b", ""),
    ("se.personnummer", r"\b(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}\b", ""),
    ("fi.hetu", r"\b[0-9]{6}[-+A][0-9]{3}[0-9A-Z]\b", ""),
    ("cn.ric", r"\b[1-9][0-9]{16}[0-9X]\b", ""),
    ("de.idnr", r"\b[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}\b", r"steuer|tax|idnr"),
    ("nl.bsn", r"\b[0-9]{9}\b", r"bsn|sofi|burgerservice"),
    ("pl.pesel", r"\b[0-9]{11}\b", r"pesel"),
    ("gb.nhs", r"\b[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}\b", r"nhs"),
    ("ca.sin", r"\b[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}\b", r"\bsin\b|social insurance"),
)  # fmt: skip
_IDS: Final = tuple(
    (name, re2.compile(form), re2.compile(f"(?i){before}") if before else None)
    for name, form, before in _ID_FORMS
)
_NINO: Final = re2.compile(
    r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b"
)
_BEFORE: Final = 40
"""Characters before a number in which a word may say what it is."""


def find_personal(text: str) -> Iterator[Found]:
    """The personal data in a text, in each of its readings."""
    seen: set[tuple[int, int]] = set()
    for view in views(text):
        if view.is_broken:
            continue  # numbers of two lines are two
        for kind, start, end in _apart(_in_view(view)):
            span = view.span(start, end)
            if span not in seen:
                seen.add(span)
                yield Found(kind, *span, view.text[start:end])


def _apart(found: Iterator[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """Each stretch of a text is one thing: the first that was found there."""
    taken: list[tuple[int, int]] = []  # sorted, so that many cost no more than their number
    for kind, start, end in found:
        at = bisect_left(taken, (start, end))
        is_free = (not at or taken[at - 1][1] <= start) and (
            at == len(taken) or end <= taken[at][0]
        )
        if is_free:
            taken.insert(at, (start, end))
            yield kind, start, end


def _in_view(view: View) -> Iterator[tuple[str, int, int]]:
    """What is found, the surest first."""
    text = view.text
    if "@" in text:
        for match in _EMAIL.finditer(text):
            if (
                text[max(match.start() - 2, 0) : match.start()] == "//"
                or match[0][:4] == "git@"
            ):
                continue  # who logs in to a host
            yield "email", match.start(), match.end()
    if any(map(str.isdigit, text)):
        yield from _numbers(text)


def _numbers(text: str) -> Iterator[tuple[str, int, int]]:
    yield from _said(text)
    for match in _IBAN.finditer(text):
        if (end := _iban_end(match[0])) is not None:
            yield "iban", match.start(), match.start() + end
    for name, form, before in _IDS:
        for match in form.finditer(text):
            said = text[max(match.start() - _BEFORE, 0) : match.start()]
            if (before is None or before.search(said)) and _is_valid(name, match[0]):
                yield "national_id", match.start(), match.end()
    if _MANY_DIGITS.search(text) is not None:
        yield from _long_numbers(text)


def _said(text: str) -> Iterator[tuple[str, int, int]]:
    """What a word before it names, and what no other text has the form of."""
    for kind, form in (("date_of_birth", _BORN), ("national_id", _PASSPORT)):
        for match in form.finditer(text):
            yield kind, match.start(1), match.end(1)
    for match in _NINO.finditer(text):
        yield "national_id", match.start(), match.end()


def _long_numbers(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _CARD.finditer(text):
        if _is_card(match[0]):
            yield "payment_card", match.start(), match.end()
    for match in _PLUS_PHONE.finditer(text):
        if _is_phone(match[0]):
            yield "phone", match.start(), match.end()
    for match in _SAID_PHONE.finditer(text):
        yield "phone", match.start(1), match.end(1)


@cache
def _checker(name: str) -> Callable[[str], bool]:
    """A number's own check; each is a module that is imported when its form is first met."""
    found: Callable[[str], bool] = import_module(f"stdnum.{name}").is_valid
    return found


def _is_valid(name: str, number: str) -> bool:
    return bool(_checker(name)(number))


def _iban_end(said: str) -> int | None:
    """Where an IBAN ends that may have run into the next word."""
    while len(said) >= 15:
        if _is_valid("iban", said):
            return len(said)
        shorter = said.rstrip(" -").rpartition(" ")[0]
        if not shorter:
            return None
        said = shorter
    return None


def _is_card(said: str) -> bool:
    digits = "".join(filter(str.isdigit, said))
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    first = digits[:2]
    known = (
        (digits[0] == "4" and len(digits) in {13, 16, 19})
        or ("51" <= first <= "55" and len(digits) == 16)
        or ("2221" <= digits[:4] <= "2720" and len(digits) == 16)
        or (first in {"34", "37"} and len(digits) == 15)
        or (first in {"30", "36", "38", "39"} and len(digits) in {14, 16, 19})
        or (first in {"35", "62", "60", "64", "65"} and len(digits) in {16, 19})
        or (first in {"50", "56", "57", "58", "63", "67"} and len(digits) in {16, 18, 19})
    )
    return known and _is_valid("luhn", digits)


def _is_phone(said: str) -> bool:
    import phonenumbers  # 30 ms that most programs never pay

    number = "+" + said[2:] if said.startswith("00") else said
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False
