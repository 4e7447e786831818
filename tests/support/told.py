"""What a page says that a command prints, held to what it printed."""

from __future__ import annotations


def is_told(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines are those of the page; `...` stands for any number of them."""
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(is_told(expected[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and expected[0] == printed[0] and is_told(expected[1:], printed[1:])
