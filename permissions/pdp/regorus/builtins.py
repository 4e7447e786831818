"""Builtins of OPA in Python, where the embedded engine decides otherwise or has none.

An extension of regorus takes the place of its own builtin of that name. Each one gives what
OPA gives, or raises: an exception in an extension fails the whole evaluation, which is a
denial. What may be called at all, and how it was compared with OPA, is `rego/builtins.json`.

| module | what regorus does by itself |
|---|---|
| `glob` | other meaning of `**` and of delimiters |
| `regexes` | Unicode classes and Rust syntax instead of ASCII and RE2 |
| `digests` | has none |
| `json_text` | does not escape `<`, `>` and `&` |
| `nets` | IPv4-mapped addresses are foreign to IPv4, leading zeros pass |
| `texts` | full case mapping; replaces what it replaced; wrong escapes of URLs |
| `sprintf` | ignores widths and precisions |
| `numbers` | fractions of 53 bits |
| `orders` | a set comes before an object |
| `paths` | pointers that begin with a slash mean nothing |
| `times` | 29 February and a year is undefined |
| `versions` | takes what is no version |

Texts of exceptions name no argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from permissions.pdp.rego.signatures import BUILTINS
from permissions.pdp.regorus.digests import DIGESTS
from permissions.pdp.regorus.glob import glob_matches
from permissions.pdp.regorus.json_text import JSON_TEXTS
from permissions.pdp.regorus.nets import NETS
from permissions.pdp.regorus.numbers import NUMBERS
from permissions.pdp.regorus.orders import ORDERS
from permissions.pdp.regorus.paths import PATHS
from permissions.pdp.regorus.regexes import REGEXES
from permissions.pdp.regorus.sprintf import sprintf
from permissions.pdp.regorus.templates import TEMPLATES
from permissions.pdp.regorus.texts import TEXTS
from permissions.pdp.regorus.times import TIMES
from permissions.pdp.regorus.versions import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def _refuse(*_: object) -> NoReturn:
    raise PermissionError("not available to policies here")


SHIMS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "glob.match": (3, glob_matches),
    "sprintf": (2, sprintf),
    **DIGESTS,
    **JSON_TEXTS,
    **NETS,
    **NUMBERS,
    **ORDERS,
    **PATHS,
    **REGEXES,
    **TEMPLATES,
    **TEXTS,
    **TIMES,
    **VERSIONS,
    **{name: (arity, _refuse) for name, arity in BANNED.items()},
}
"""Arity and function per builtin."""


_TYPES: Mapping[str, frozenset[type]] = {
    "string": frozenset({str}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "null": frozenset({type(None)}),
    "array": frozenset({list, tuple}),
    "object": frozenset({dict}),
    "set": frozenset({set, frozenset}),
}


def install(engine: Any) -> None:
    """Puts every shim into a regorus engine."""
    for name, (arity, function) in _CHECKED.items():
        engine.add_extension(name, arity, function)


def _of_kinds(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A shim that fails for arguments of other kinds than OPA declares, as OPA's builtin does."""
    signature = BUILTINS.get(name)
    if signature is None or name.endswith("is_valid"):  # which say no to what they do not know
        return function
    wanted = [
        None if "any" in kinds else frozenset().union(*(_TYPES[kind] for kind in kinds))
        for kinds in signature.arguments
    ]

    def checked(*arguments: Any) -> Any:
        for argument, types in zip(arguments, wanted, strict=True):
            if types is not None and type(argument) not in types:
                raise TypeError("an argument of another kind")
        return function(*arguments)

    return checked


_CHECKED = {name: (arity, _of_kinds(name, call)) for name, (arity, call) in SHIMS.items()}
