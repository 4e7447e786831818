"""A question to an evaluator that is in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import anyio

    from permissions.errors import PdpError


class Question:
    """One that is not answered yet: what its caller waits for, and what came of it."""

    __slots__ = ("answer", "error", "number", "woken")

    def __init__(self, number: int) -> None:
        self.number = number
        self.answer: tuple[bytes, bytes] | None = None
        self.error: PdpError | None = None
        self.woken: anyio.Event | None = None  # none yet for who does not wait, or left

    def wake(self) -> None:
        """Has its caller look."""
        if self.woken is not None:
            self.woken.set()

    @property
    def is_over(self) -> bool:
        """Whether it was answered, or will not be."""
        return self.answer is not None or self.error is not None
