"""What is counted of a daemon's work, as far as those who do it are concerned."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Is told of each question that was answered."""

    def answered(self, do: str, seconds: float) -> None:
        """A client's question of that kind took that long, waiting for people included."""
        ...


class _Unmetered:
    """A `Meter` that counts nothing."""

    def answered(self, do: str, seconds: float) -> None:
        """See `Meter`."""


UNMETERED = _Unmetered()
