"""Targets: what an argument points at, parsed so that policies never parse text.

An argument marked with one of the classes below (`Annotated[str, PathArg("write")]`) is
turned into a JSON document that policies see as `resource.properties.targets`. A value that
cannot be parsed without doubt is refused as a bad argument: `http://10.1` or a path with a
NUL byte never reaches a policy as something that looks harmless.

Not protected from: a path whose links change between decision and use (sandboxed tools are,
by their mounts), and a host name that resolves to a private address (the egress proxy checks
the address it dials).
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

from permissions.errors import ToolDefinitionError

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue


class TargetError(ValueError):
    """The value cannot be what its mark says. The message never holds the value."""


class Target(Protocol):
    """A mark on an argument."""

    @property
    def kind(self) -> str:
        """The word policies match on."""
        ...

    @property
    def control(self) -> bool:
        """Whether the argument decides where effects go (rather than what they say)."""
        ...

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:
        """The target's document, without `kind` and `argument`.

        Args:
            value: as the caller gave it.
            workspace: absolute and without links, as a session holds it. Once a link is put
                in its place, everything in it lies outside.

        Raises:
            TargetError: the value cannot be parsed without doubt.
        """
        ...

    def spelling(self) -> JsonObject:
        """The mark as JSON, part of the tool's digest."""
        ...


@dataclass(frozen=True, slots=True)
class PathArg:
    """A file path, read or written; relative paths are meant from the workspace."""

    access: Literal["read", "write"] = "read"
    kind = "path"
    control = True

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:
        """Gives both the lexical path and the one links lead to; both must be inside."""
        text = _text(value, "a path", 4096)
        root = os.fspath(workspace)
        whole = os.path.join(root, text)  # noqa: PTH118 - lexical on purpose
        # POSIX lets `//` begin another name space; Linux reads it as `/`.
        path = "/" + os.path.normpath(whole).lstrip("/")
        # Not of `path`: after a link, `..` leads to where the link points.
        resolved = os.path.realpath(whole)
        return {
            "access": self.access,
            "path": path,
            "resolved": resolved,
            "inside_workspace": _within(path, root) and _within(resolved, root),
            "relative": _relative(resolved, root) if _within(resolved, root) else None,
            "hidden": any(
                part.startswith(".") and part not in {".", ".."}
                for entry in {path, resolved}
                for part in _relative(entry, root).split("/")
            ),
            "links": _links(resolved),
        }

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind, "access": self.access}


@dataclass(frozen=True, slots=True)
class HostArg:
    """A URL, or a bare `host[:port]`, that the tool connects to."""

    kind = "host"
    control = True

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """Host in lower-case ASCII (IDNA), numeric forms classified, odd forms refused."""
        text = _text(value, "a URL or host", 2048)
        if re.search(r"[\s\\]", text):
            raise TargetError("holds white space or a backslash, which no URL may")
        has_scheme = "://" in text
        try:
            parts = urlsplit(text if has_scheme else f"//{text}")
            port = parts.port
        except ValueError as err:
            raise TargetError("is not a well-formed URL") from err
        scheme = parts.scheme.lower() or None
        if has_scheme and scheme not in {"http", "https", "ws", "wss"}:
            raise TargetError("has a scheme other than http, https, ws or wss")
        if parts.username is not None or parts.password is not None:
            raise TargetError("carries a user name or password before the host")
        if not parts.hostname:
            raise TargetError("names no host")
        if not has_scheme and parts.netloc.endswith(":"):
            raise TargetError("could be read as a scheme without a host (file:, http:/...)")
        host, address_class = _host(parts.hostname)
        default = {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(scheme or "")
        return {
            "scheme": scheme,
            "host": host,
            "port": port if port is not None else default,
            "path": (parts.path or "/") if has_scheme else None,
            "address_class": address_class,
        }

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind}


_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_ACCOUNT = re.compile(r"[A-Za-z0-9](?:[ -]?[A-Za-z0-9._:/@]+)*")
_ROUTES = re.compile(r"[!%|`$\\/{}^*?=]")
"""In the name before the @ these mean another address to some mailers (`eve!evil@example.com`)."""


@dataclass(frozen=True, slots=True)
class RecipientArg:
    """Who receives something: an e-mail address, an account number, or a phone number.

    A phone number is written with its country, as in `+49 30 901820`.
    """

    scheme: Literal["email", "account", "phone"] = "email"
    kind = "recipient"
    control = True

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """One recipient; a display name or a second address is refused.

        The tool gets the text as it was given, so it has to be one that every reader takes for
        the recipient that policies see: no leading dash, no source route.
        """
        text = _text(value, "a recipient", 320)
        if self.scheme == "phone":
            return {"scheme": self.scheme, "address": _phone(text), "domain": None}
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
        domain, _ = _host(address.domain)
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
        """Refuses a currency that no table can list.

        Raises:
            ToolDefinitionError: it is not in capitals and digits.
        """
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


_MAX_WORD = 65536
"""Characters of a command's word."""


@dataclass(frozen=True, slots=True)
class CommandArg:
    """A command to run: a list of words, or one text that a shell would read."""

    kind = "command"
    control = True

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """`shell` is true where a shell reads a text, also one that the argv starts.

        `commands` is every program that will run, `complete` whether these are all
        (`permissions.tools.shell`).
        """
        from permissions.tools.shell.reading import read_argv, read_text

        if isinstance(value, str):
            text = _text(value, "a command", _MAX_WORD, lines=True)
            reading, argv, program = read_text(text), [text], None
        elif isinstance(value, list) and value:
            argv = [
                _text(word, "a word of a command", _MAX_WORD, lines=True, empty=index > 0)
                for index, word in enumerate(value)
            ]
            reading, program = read_argv(argv), os.path.basename(argv[0])  # noqa: PTH119
        else:
            raise TargetError("is neither a text nor a list of words with a program first")
        return {"argv": argv, "program": program, **reading.document(), "declared": False}

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind}


@dataclass(frozen=True, slots=True)
class FreeText:
    """An argument that says what and not where: its values may come from anywhere.

    It has no target, decides nothing for policies, and is no control argument, so text of an
    untrusted source may stand in it. On whole arguments: a mail's body, a search term, a size.
    """

    kind = "free"
    control = False

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind}


MARKS = (PathArg, HostArg, RecipientArg, AmountArg, CommandArg, FreeText)


def parse_targets(
    mark: Target, argument: str, value: JsonValue, root: Path
) -> list[JsonObject]:
    """The documents of one argument: one, none for null, or one per item of a list.

    Raises:
        TargetError: a value cannot be parsed without doubt.
    """
    if value is None:
        return []
    many = isinstance(value, list) and not isinstance(mark, CommandArg)
    return [
        {"kind": mark.kind, "argument": argument, **mark.parse(item, root)}
        for item in (value if many else [value])
    ]


def _text(
    value: JsonValue, what: str, limit: int, *, lines: bool = False, empty: bool = False
) -> str:
    """A text without characters that have no shape; with `lines` it may have several lines."""
    if not isinstance(value, str) or not (value or empty):
        raise TargetError(f"is not {what}")
    if len(value) > limit:
        raise TargetError(f"is longer than {limit} characters")
    if value.isascii() and value.isprintable():
        return value
    if any(
        unicodedata.category(char) in {"Cc", "Cf", "Cs"} and not (lines and char in "\n\t")
        for char in value
    ):
        raise TargetError("holds control, invisible or broken characters")
    return value


def _links(path: str) -> int | None:
    """How many names a file has; None for what is none, or cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - beside realpath
    except (OSError, ValueError):
        return None
    return found.st_nlink if stat.S_ISREG(found.st_mode) else None


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _relative(path: str, root: str) -> str:
    """`os.path.relpath` of two normal, absolute paths."""
    if not _within(path, root):
        return os.path.relpath(path, root)
    return path[len(root.rstrip(os.sep)) :].lstrip(os.sep) or "."


_METADATA = {"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"}


def _host(host: str) -> tuple[str, str | None]:
    name = _ascii_name(host.lower().removesuffix("."))
    if address := _address(name):
        return str(address), _address_class(address)
    # Everything an old resolver would read as a number (127.1, 0x7f000001, 2130706433).
    if re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*", name):
        raise TargetError("is a numeric host in a form other than a plain IP address")
    if len(name) > 253 or not all(
        re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", label)
        for label in name.split(".")
    ):
        raise TargetError("holds a host that is not a valid name")
    if name == "localhost" or name.endswith(".localhost"):
        return name, "loopback"
    return name, None


def _ascii_name(name: str) -> str:
    """The name in ASCII (IDNA, RFC 3490), if every client would read it as the same name.

    Full-width digits, a circled letter or a sharp s mean one host to one client and another
    host, or an address, to the next.
    """
    if name.isascii():
        return name
    try:
        ascii_name = name.encode("idna").decode("ascii")
        readable = ascii_name.encode("ascii").decode("idna")
    except UnicodeError as err:
        raise TargetError("holds a host that is not a valid name") from err
    if readable != name:
        raise TargetError("holds a host that clients read differently; write it in ASCII")
    return ascii_name


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _address_class(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)):
        return _address_class(inner)
    if str(address) in _METADATA:
        return "metadata"
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    if address.is_link_local:
        return "link_local"
    if address.is_multicast or address.is_reserved:
        return "reserved"
    return "global" if address.is_global else "private"


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address a 6to4 (RFC 3056) or NAT64 (RFC 6052) gateway would go on to."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour
