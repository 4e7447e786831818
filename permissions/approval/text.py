r"""Values of agents, tools and policies as text that cannot lie to whoever reads it.

Everything that came from one of them is shown as the JSON text of its value, with each character
that a screen would not show as itself written as a `\uXXXX` escape (controls, ANSI sequences,
bidirectional and invisible characters, stacked marks). So what stands there parses back to exactly
the value that will run.

Not protected from: letters of other scripts that look alike. They are shown as they are, and
`cautions` names them.
"""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.model import JsonValue

_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0").union(
    map(chr, [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)
"""Letters, marks and symbols without a visible shape (Unicode, Default_Ignorable)."""
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


def literal(value: JsonValue) -> str:
    """The JSON text of a value in characters a screen shows as they are.

    `json.loads` of it gives the value again.
    """
    return plain(json.dumps(value, ensure_ascii=False))


def visible(text: str) -> str:
    """A text in one line, in characters a screen shows as they are."""
    return literal(text)[1:-1].replace('\\"', '"')


def plain(text: str) -> str:
    """A text with what has no shape of its own escaped; not to be parsed back."""
    return "".join(
        char if shows_as_itself(char, before) else _escaped(char)
        for before, char in zip(f"a{text}", text, strict=False)
    )


def compared(values: Mapping[str, JsonValue]) -> str:
    """The values that a reason compared, in one line; empty without any."""
    return ", ".join(f"{visible(name)} {literal(value)}" for name, value in values.items())


def cautions(text: str) -> Iterator[str]:
    """Names characters that may look like others, or be shown in another order."""
    foreign = sorted({char for char in text if not char.isascii()})
    shown = [char for char in foreign if shows_as_itself(char, "a")]
    if shown:
        named = ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, 'unnamed')}" for c in shown[:5])
        more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
        yield f"beyond plain ASCII: {named}{more}"
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in shown):
        yield "has right-to-left letters: the order on the screen may not be the order"


def moment(micros: int) -> str:
    """A time as people read it, in UTC."""
    return f"{datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros):%Y-%m-%d %H:%M:%S} UTC"


def time_left(micros: int) -> str:
    """How long it is until then, as `in 0:14:00`, or `over`."""
    seconds = micros // 1_000_000
    if seconds <= 0:
        return "over"
    days, rest = divmod(seconds, 86_400)
    return f"in {f'{days} d ' if days else ''}{timedelta(seconds=rest)}"


def shows_as_itself(char: str, before: str) -> bool:
    """Whether a screen shows this character, after that one, as what it is."""
    if " " <= char <= "~":
        return True
    category = unicodedata.category(char)
    if category in _UNSHOWN or char in BLANK:
        return False
    if category in ("Mn", "Me"):
        # One mark on a letter is writing; more of them paint over the neighbours.
        return unicodedata.category(before).startswith("L") if before else False
    return True


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
