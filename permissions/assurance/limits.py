"""The known limits, as the threat model states them; nothing is said here a second time."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject

_SECTION = re.compile(r"^### (?P<title>.+)$", re.MULTILINE)
_LIMIT = re.compile(
    r"Does not stop: (?P<text>.+?)(?=\n\n|\bStops\b[^:\n]{0,40}:|Does not stop:|\Z)", re.DOTALL
)
_BULLET = re.compile(r"^- (?P<text>.+)$", re.MULTILINE)
_OUTSIDE = "## What this does not protect from"
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def known_limits() -> JsonObject:
    """By part of the system, what it does not stop; and what is outside of all of it.

    `docs/explanation/threat-model.md` travels with the package and is the only source.
    """
    text = (resources.files("permissions") / "assurance" / "threat-model.md").read_text("utf-8")
    return limits_in(text)


def limits_in(text: str) -> JsonObject:
    """The limits that a threat model states. Pure."""
    stages, _, outside = text.partition(_OUTSIDE)
    starts = [*_SECTION.finditer(stages)]
    ends = [*(each.start() for each in starts[1:]), len(stages)]
    parts = {}
    for found, end in zip(starts, ends, strict=True):
        section = stages[found.end() : end]
        if said := [_plain(each["text"]) for each in _LIMIT.finditer(section)]:
            parts[found["title"]] = said
    return {
        "parts": parts,
        "outside": [_plain(each["text"]) for each in _BULLET.finditer(outside)],
    }


def _plain(text: str) -> str:
    """Without the marks of Markdown, on one line."""
    return " ".join(_LINK.sub(r"\1", text).replace("**", "").replace("`", "").split())
