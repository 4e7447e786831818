"""What in a text leads somewhere: links, mail addresses, accounts, phone numbers.

By their form alone: whether an account exists, or is the person's, nobody here knows.
It does not protect from an address that is spelt out ("evil dot example") or encoded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

AddressKind = Literal["url", "email", "account", "phone"]

_FORMS: Final[tuple[tuple[AddressKind, re.Pattern[str]], ...]] = (
    ("url", re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}://|www\.)\S+", re.IGNORECASE)),
    ("email", re.compile(r"(?:mailto:)?[^\s@]+@[^\s@]+\.[^\s@]+", re.IGNORECASE)),
    ("url", re.compile(r"(?:[\w-]+\.)+[a-z]{2,24}(?::[0-9]+)?[/?#]\S*", re.IGNORECASE)),
    ("account", re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}", re.IGNORECASE)),
    ("phone", re.compile(r"(?:\+|00)[0-9][0-9().-]{6,20}")),
    ("account", re.compile(r"[0-9]{10,34}|(?:0x|bc1|[13])[A-Za-z0-9]{25,60}")),
)
_MAY_LEAD = re.compile(r"[0-9@./]")
_WORD = re.compile(r"[^\s\"'`<>()\[\]{},;|]{6,2000}")


def address_kind(word: str) -> AddressKind | None:
    """What a word leads to; None when it leads nowhere."""
    return next((kind for kind, form in _FORMS if form.fullmatch(word)), None)


def addresses_in(text: str) -> Iterator[tuple[str, AddressKind]]:
    """Each address in a text, without the signs around it."""
    for match in _WORD.finditer(text):
        word = match[0].strip(".:!?*_~")
        if not _MAY_LEAD.search(word):
            continue
        if (kind := address_kind(word)) is not None:
            yield word, kind


def is_contact(value: str | float) -> bool:
    """Whether a value is a mail address or a phone number, and nothing else."""
    return isinstance(value, str) and address_kind(value) in ("email", "phone")
