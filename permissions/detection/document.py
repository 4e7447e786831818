"""What detectors are given of a JSON document: its texts, each with its pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from permissions.detection.secrets import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.vocabulary import JsonValue

SHORTEST: Final = 6
"""Characters below which nothing is looked for."""


class Text(NamedTuple):
    """A text of a document: a leaf, a key, or the digits of a long number.

    `name` is the member it is the value of, when that says that it is a secret.
    """

    pointer: str
    text: str
    name: str = ""


def texts(document: JsonValue) -> Iterator[Text]:
    """Every text in which something can be found, depth first."""
    waiting: list[tuple[str, JsonValue, str]] = [("", document, "")]
    while waiting:
        pointer, value, name = waiting.pop()
        if isinstance(value, str):
            if len(value) >= SHORTEST:
                yield Text(pointer, value, name if name and is_secret_name(name) else "")
        elif isinstance(value, dict):
            for key, item in value.items():
                below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                if len(key) > SHORTEST:
                    yield Text(below, key)
                waiting.append((below, item, key))
        elif isinstance(value, list | tuple):
            waiting += [(f"{pointer}/{at}", item, name) for at, item in enumerate(value)]
        elif isinstance(value, int) and abs(value) >= 10**SHORTEST:  # a bool is none of these
            yield Text(pointer, str(value), name if name and is_secret_name(name) else "")
