"""Whether a tool's output only repeats what the tool was fed.

Texts are compared as they are and without spaces, signs and case: one that holds the other is
an echo. Numbers are compared as numbers (1005 is no echo of 100.5), also with those written
in a text. What is shorter than three characters is one only as a whole word.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from permissions.run.prompt_values import is_said, spoken_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_LENGTH: Final = 3
"""Characters from which a text or a number met by chance proves something."""

_DIGITS = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,12})?")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12})?", re.ASCII)


class Fed:
    """The untrusted values one call was given."""

    def __init__(self, fed: Sequence[str | float]) -> None:
        self._texts = [each for each in fed if isinstance(each, str)]
        self._given = fed

    def __bool__(self) -> bool:
        """Whether the call was given any."""
        return bool(self._given)

    @cached_property
    def _folded(self) -> list[str]:
        return [bare for each in self._texts if len(bare := folded(each)) >= MIN_LENGTH]

    @cached_property
    def _numbers(self) -> set[float]:
        found = {abs(each) for each in self._given if not isinstance(each, str)}
        return found.union(*map(_numbers_in, self._texts))

    def echoes(self, value: str | float, *, of_field: bool = False) -> bool:
        """Whether a value of the output is one of these, part of one, or holds one.

        Args:
            value: from the output.
            of_field: it stands in a field that the service fills in: only a value that it was
                fed counts then, and not one that it made of it.
        """
        if not self._given:
            return False
        number = number_of(value) if isinstance(value, str) else value
        if number is not None:
            return abs(number) in self._numbers
        text = str(value)
        if len(text) < MIN_LENGTH:
            return any(text == each or is_said(text, each) for each in self._texts)
        if any(text in each for each in self._texts):
            return True
        bare = folded(text)
        if len(bare) >= MIN_LENGTH and any(bare in each for each in self._folded):
            return True
        return not of_field and self._is_held_by(text, bare)

    def _is_held_by(self, text: str, bare: str) -> bool:
        return (
            any(each in text for each in self._texts if len(each) >= MIN_LENGTH)
            or any(each in bare for each in self._folded)
            or any(number in self._numbers for number in _numbers_in(text) if number >= 100)
        )


def _numbers_in(text: str) -> set[float]:
    """Each number written in a text, also in the middle of a word, without its sign."""
    found: set[float] = set()
    for written in (*spoken_numbers(text), *_DIGITS.findall(text)):
        bare = written.lstrip("-0") or "0"
        number = number_of("0" + bare if bare[0] == "." else bare)
        if number is not None:
            found.add(number)
    return found


def number_of(text: str) -> float | None:
    """A plain decimal number as one; None for any other text."""
    if not text or text[0] not in "-0123456789" or not _DECIMAL.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def folded(text: str) -> str:
    """Letters and digits alone, in one case."""
    return "".join(filter(str.isalnum, text.casefold()))
