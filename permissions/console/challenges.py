"""What browsers were asked to sign and have not given back: each counts once, for a few minutes."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LIFE_SECONDS: Final = 5 * 60
AT_ONCE: Final = 4096
"""Kept at a time; with more the oldest is forgotten, and whoever had it begins again."""


class Challenges:
    """Kept in memory: a daemon that starts anew has asked nobody anything.

    Args:
        clock: microseconds since 1970 UTC.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[str, str, int]] = OrderedDict()

    def keep(self, challenge: str, holder: str) -> str:
        """Keeps one for a holder (a session, or nobody yet); gives the name to ask for it by."""
        name = secrets.token_urlsafe(24)
        self._kept[name] = challenge, holder, self._clock() + LIFE_SECONDS * 1_000_000
        while len(self._kept) > AT_ONCE:
            self._kept.popitem(last=False)
        return name

    def take(self, name: str, holder: str) -> str | None:
        """The challenge, once, for the holder it was kept for."""
        challenge, kept_for, until = self._kept.pop(name, ("", "", 0))
        return challenge if kept_for == holder and until > self._clock() else None
