"""Who receives something, as a target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import TYPE_CHECKING, Literal

from permissions.errors import ToolDefinitionError
from permissions.tools.targets.base import TargetError, plain_text
from permissions.tools.targets.host import read_host

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue


_ACCOUNT = re.compile(r"[A-Za-z0-9](?:[ -]?[A-Za-z0-9._:/@]+)*")
_ROUTES = re.compile(r"[!%|`$\\/{}^*?=]")
"""In the name before the @ these mean another address to some mailers (`eve!evil@example.com`)."""


@dataclass(frozen=True, slots=True)
class RecipientArg:
    """Who receives something: a mail address, an account, a phone number, or a name.

    A phone number is written with its country, as in `+49 30 901820`. A name is what a service
    calls somebody or something by: a user's id, a channel, a mailing list.
    """

    scheme: Literal["email", "account", "phone", "name"] = "email"
    kind = "recipient"
    control = True

    def __post_init__(self) -> None:
        """Refuses a scheme that would be read as another.

        Raises:
            ToolDefinitionError: it is none of the four.
        """
        if self.scheme not in ("email", "account", "phone", "name"):
            raise ToolDefinitionError(
                f"RecipientArg({self.scheme!r:.40}): say email, account, phone or name"
            )

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """One recipient; a display name or a second address is refused.

        The tool gets the text as it was given, so it has to be one that every reader takes for
        the recipient that policies see: no leading dash, no source route.
        """
        text = plain_text(value, "a recipient", 320)
        if self.scheme == "phone":
            return {"scheme": self.scheme, "address": _phone(text), "domain": None}
        if self.scheme == "name":
            if text != text.strip() or text.startswith("-"):
                raise TargetError("is no plain name: white space around it, or a dash first")
            return {"scheme": self.scheme, "address": text, "domain": None}
        if self.scheme == "account":
            account = re.sub(r"[ -]", "", text).upper()
            # ASCII first: some other letters have ASCII ones as their upper case.
            if not text.isascii() or not (_ACCOUNT.fullmatch(text) and 3 <= len(account) <= 64):
                raise TargetError(
                    "is no account of 3 to 64 letters and digits, one space or dash between;"
                    ' phones: RecipientArg("phone")'
                )
            return {"scheme": self.scheme, "address": account, "domain": None}
        if re.search(r"[\s<>(),;\"]", text):
            raise TargetError("is not one bare e-mail address (name@domain)")
        try:
            address = Address(addr_spec=text)
        except (ValueError, IndexError, HeaderParseError) as err:
            raise TargetError("is not one bare e-mail address (name@domain)") from err
        if not address.username or not address.domain:
            raise TargetError("is not one bare e-mail address (name@domain)")
        if address.username.startswith("-") or _ROUTES.search(address.username):
            raise TargetError("holds a sign before the @ that some mailers read as a route")
        domain, _ = read_host(address.domain)
        return {
            "scheme": self.scheme,
            "address": f"{address.username}@{domain}",
            "domain": domain,
        }

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind, "scheme": self.scheme}


def _phone(text: str) -> str:
    """In E.164, as in +4930901820."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as err:
        raise TargetError("is not a phone number with its country, like +49 30 901820") from err
    if not re.fullmatch(r"\+[0-9 ().-]+", text) or not phonenumbers.is_possible_number(number):
        raise TargetError("is not a phone number with its country, like +49 30 901820")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
