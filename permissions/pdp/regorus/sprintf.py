"""`sprintf` as OPA has it: Go's `fmt.Sprintf` over texts, integers and fractions.

| verb | of |
|---|---|
| `%v` `%s` | a text; `%v` also an integer, boolean, null, array, set or object |
| `%d` `%x` `%X` `%o` `%b` `%c` | an integer |
| `%f` `%e` with a precision, `%v` | a fraction |
| `%q`, `%t`, `%U`, ... | nothing: refused |

With width, `-`, `0` and precision, where Go and Python mean the same. All else is refused,
whatever Go prints then (`%!d(string=x)`).
"""

from __future__ import annotations

import json
import re
from typing import Any

_VERB = re.compile(r"%([-+0 #]*)(\d{0,4})(?:\.(\d{0,3}))?([a-zA-Z%])")


def sprintf(template: str, values: list[Any]) -> str:
    """The template filled in.

    Raises:
        ValueError: a verb, a flag or a value this does not know, or values left over.
    """
    pending = list(values)
    out: list[str] = []
    at = 0
    while (start := template.find("%", at)) >= 0:
        found = _VERB.match(template, start)
        if found is None:
            raise ValueError("no verb of sprintf")
        out.append(template[at:start])
        out.append(_one(found, pending))
        at = found.end()
    if pending:
        raise ValueError("more values than verbs")
    return "".join((*out, template[at:]))


def _one(found: re.Match[str], pending: list[Any]) -> str:
    flags, width, precision, verb = found.groups()
    if verb == "%":
        if found.group() != "%%":
            raise ValueError("a percent sign with flags")
        return "%"
    if not pending:
        raise ValueError("more verbs than values")
    if set(flags) - set("-0"):
        raise ValueError("a flag that is not agreed on")
    value = pending.pop(0)
    text = _text(verb, precision, value)
    size = int(width or 0)
    if "-" in flags:
        return text.ljust(size)
    if "0" in flags:
        if isinstance(value, str) or verb == "v":
            raise ValueError("zeros before what is no number")
        sign = "-" if text.startswith("-") else ""
        return sign + text.removeprefix("-").rjust(size - len(sign), "0")
    return text.rjust(size)


def _text(verb: str, precision: str | None, value: Any) -> str:
    found: str | None = None
    if isinstance(value, str):
        if verb in "sv":
            found = value if precision is None else value[: int(precision or 0)]
    elif type(value) is int:
        if precision is None:
            found = _integer(verb, value)
    elif type(value) is float:
        if verb in "fe" and precision:
            found = format(value, f".{precision}{verb}")
        elif verb == "v" and precision is None:
            found = _shortest(value)
    elif verb in "sv" and precision is None:
        found = written(value)
    if found is None:
        raise ValueError("a verb that does not fit its value")
    return found


def _integer(verb: str, value: int) -> str | None:
    if verb in "dxXob":
        return format(value, verb)
    if verb == "c" and 32 <= value < 0xD800:
        return chr(value)
    return str(value) if verb == "v" else None


def _shortest(value: float) -> str:
    """Go's `%v`: an exponent below 1e-4 and from 1e21 on."""
    if 1e-4 <= abs(value) < 1e16:
        return repr(value)
    if abs(value) < 1e-4:
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa.removesuffix('.0')}e{exponent}"
    raise ValueError("a fraction this large is not agreed on")


def written(value: Any) -> str:
    """A value as OPA writes terms."""
    if type(value) is float:
        return _shortest(value)
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, str):
        if not value.isascii() or not value.isprintable():
            raise ValueError("a text that is written in more than one way")
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        pairs = (f"{written(key)}: {written(value[key])}" for key in sorted(value))
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, set) and len({type(each) for each in value}) <= 1:
        return f"{{{', '.join(map(written, sorted(value)))}}}" if value else "set()"
    raise ValueError("a value that is written in more than one way")
