"""Builtins of OPA in Python, where the embedded engine decides otherwise.

An extension of regorus takes the place of its own builtin of that name. Each one here gives
what OPA gives, or raises: an exception in an extension fails the whole evaluation, which is a
denial. The table tests compare every row with the real `opa eval`.

| builtin | what regorus does by itself |
|---|---|
| `glob.match` | other meaning of `**` and of delimiters |
| `regex.*` | Unicode classes and Rust syntax instead of ASCII and RE2 |
| `net.cidr_*` | IPv4-mapped addresses are foreign to IPv4, leading zeros pass |
| `lower`, `upper` | full case mapping: one character may become three |
| `strings.count` | counts overlaps, panics on "" |
| `http.send`, ... | undefined, so that `not http.send(..)` is true |

`count` of a string cannot be mended this way (sets of objects have no Python form): the
linter refuses it. Texts of exceptions name no argument.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import re2

from permissions.pdp.regorus.glob import glob_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BANNED: Mapping[str, int] = {
    "http.send": 1,
    "net.lookup_ip_addr": 1,
    "opa.runtime": 0,
    "rand.intn": 2,
    "time.now_ns": 0,
    "uuid.rfc4122": 1,
}
"""Builtins with their arity that reach out, or give another answer when asked again. The
linter refuses them; should one be reached all the same, it raises."""


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Any:
    """An RE2 program.

    Raises:
        ValueError: the pattern is no RE2.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise ValueError("not a regular expression of RE2") from None


def _regex_match(pattern: str, text: str) -> bool:
    return compile_regex(pattern).search(text) is not None


def _regex_is_valid(pattern: str) -> bool:
    try:
        compile_regex(pattern)
    except ValueError:
        return False
    return True


def _regex_split(pattern: str, text: str) -> list[str]:
    return _checked(_between(pattern, text))


def _between(pattern: str, text: str) -> list[str]:
    """The parts between matches, as Go's `Split(text, -1)`."""
    if pattern and not text:
        return [""]
    parts: list[str] = []
    begin = end = 0
    for found in compile_regex(pattern).finditer(text):
        end = found.start()
        if found.end() != 0:
            parts.append(text[begin:end])
        begin = found.end()
    if end != len(text):
        parts.append(text[begin:])
    return parts


def _regex_find_n(pattern: str, text: str, count: int) -> list[str]:
    found = (match.group() for match in compile_regex(pattern).finditer(text))
    every = _checked(found)
    return every if count < 0 else every[:count]


def _network(text: str) -> _Network:
    address, slash, prefix = text.partition("/")
    if not slash or not prefix.isascii() or not prefix.isdigit():
        raise ValueError("not an address block")
    network = ipaddress.ip_network(
        (_address(address, keep_mapped=True), int(prefix)), strict=False
    )
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _address(
    text: str, *, keep_mapped: bool = False
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if "%" in text:
        raise ValueError("an address with a zone")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and not keep_mapped:
        return address.ipv4_mapped or address
    return address


def _block(text: str) -> _Network:
    return _network(text) if "/" in text else ipaddress.ip_network(_address(text))


def _cidr_contains(outer: str, inner: str) -> bool:
    block, other = _network(outer), _block(inner)
    return block.version == other.version and other.subnet_of(block)  # type: ignore[arg-type]


def _cidr_intersects(one: str, other: str) -> bool:
    first, second = _network(one), _network(other)
    return first.version == second.version and first.overlaps(second)


def _cidr_is_valid(text: str) -> bool:
    try:
        _network(text)
    except ValueError:
        return False
    return True


def _lower(text: str) -> str:
    """Character by character, as Go: no final sigma, and `İ` becomes `i`."""
    if text.isascii():
        return text.lower()
    return "".join(_checked("i" if c == "İ" else c.lower() for c in text))


def _upper(text: str) -> str:
    """Character by character, as Go: what has no upper case of one character stays."""
    if text.isascii():
        return text.upper()
    return "".join(_checked(map(_upper_of, text)))


def _upper_of(char: str) -> str:
    return next((c for c in (char.upper(), char.title()) if len(c) == 1), char)


def _strings_count(text: str, part: str) -> int:
    return text.count(part)


def _checked(texts: Iterable[str]) -> list[str]:
    """The texts as they are; a lone surrogate handed to regorus would kill the process."""
    out = list(texts)
    "".join(out).encode()
    return out


def _refuse(*_: object) -> NoReturn:
    raise PermissionError("not available to policies here")


SHIMS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "glob.match": (3, glob_matches),
    "lower": (1, _lower),
    "net.cidr_contains": (2, _cidr_contains),
    "net.cidr_intersects": (2, _cidr_intersects),
    "net.cidr_is_valid": (1, _cidr_is_valid),
    "regex.find_n": (3, _regex_find_n),
    "regex.is_valid": (1, _regex_is_valid),
    "regex.match": (2, _regex_match),
    "regex.split": (2, _regex_split),
    "strings.count": (2, _strings_count),
    "upper": (1, _upper),
    **{name: (arity, _refuse) for name, arity in BANNED.items()},
}
"""Arity and function per builtin."""


def install(engine: Any) -> None:
    """Puts every shim into a regorus engine."""
    for name, (arity, function) in SHIMS.items():
        engine.add_extension(name, arity, function)
