"""What in a text leads somewhere: links, mail addresses, accounts, phone numbers.

By their form alone: whether an account exists, or is the person's, nobody here knows.
It does not protect from an address that is spelt out ("evil dot example") or encoded, nor from
a host's bare name where the untrusted text held no more than that either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from permissions.run.spellings import spoken_addresses

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
_BARE = re.compile(
    r"(?<![\w@./:-])(?P<host>(?:[\w-]{1,63}\.){1,8}[a-z]{2,24})(?::[0-9]{1,5})?(?P<path>[/?#][^\s\"'`<>]*)?(?![\w@-])",
    re.IGNORECASE,
)
_NATIONAL = re.compile(
    r"(?<![\w.+-])(?:\(?0[0-9]{1,5}\)?[ ./-]{1,2}|\(?[2-9][0-9]{2}\)?[ .-])[0-9]{3,4}[ .-]?[0-9]{2,5}(?![\w-])"
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


class Address(NamedTuple):
    """One address of a text.

    Attributes:
        kind: what it leads to.
        names: what it is known by from now on: all of it, and the host it leads to.
        known_by: by which of these it is recognized, the most exact first.
        where: its characters.
    """

    kind: AddressKind
    names: tuple[str, ...]
    known_by: tuple[str, ...]
    where: tuple[int, int]


def addresses_meant(text: str) -> Iterator[Address]:
    """Each address in a text by what it means, in whichever spelling.

    A link is also known by its host, so that another page there is no other address. A host's
    bare name may as well be that of a file, and counts where the other side held a link.
    """
    if not _MAY_LEAD.search(text):
        return
    for meaning, where in spoken_addresses(text):
        if meaning.startswith("url:"):
            yield _link(meaning, urlsplit(meaning[4:]).hostname or "", where)
        else:
            yield Address(_KINDS[meaning.partition(":")[0]], (meaning,), (meaning,), where)
    for match in _BARE.finditer(text) if "." in text else ():
        host, path = match["host"].lower(), match["path"]
        if path:
            yield _link(f"url:https://{host}{path}", host, match.span())
        else:
            yield Address("url", (f"named:{host}",), (f"host:{host}",), match.span())
    for match in _NATIONAL.finditer(text):
        meaning = "phone:" + re.sub(r"[^0-9]", "", match[0])
        yield Address("phone", (meaning,), (meaning,), match.span())


def _link(meaning: str, host: str, where: tuple[int, int]) -> Address:
    names = (meaning, f"host:{host}", f"named:{host}")
    return Address("url", names, (meaning, f"named:{host}"), where)


_KINDS: Final[dict[str, AddressKind]] = {
    "email": "email", "account": "account", "phone": "phone",
}  # fmt: skip
