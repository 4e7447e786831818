"""Ends a run that is in hand, from wherever that is said.

One per execution. Whoever runs it says when it begins and how it could be ended; whoever stops it
says so once. Between threads: a tool may run in any.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio import CancelScope

BY_PERSON = "person"
"""The supervisor's word for a run that a person stopped."""


class Halt:
    """Whether a run may begin, has begun, and what ends it."""

    __slots__ = ("_end", "_lock", "begun", "said")

    def __init__(self) -> None:
        self._lock = Lock()
        self._end: Callable[[], None] | None = None
        self.begun = False
        """Whether the tool may have been run."""
        self.said = False
        """Whether it is stopped."""

    def begin(self, end: Callable[[], None] | None = None) -> bool:
        """Says that the run begins; False when it must not.

        Args:
            end: ends it, from any thread; None for what runs on whatever is said.
        """
        with self._lock:
            if self.said:
                return False
            self.begun, self._end = True, end
            return True

    def stop(self) -> bool:
        """Stops it. False when it goes on: it has begun, and nothing ends it."""
        with self._lock:
            self.said = True
            end, begun = self._end, self.begun
        if end is not None:
            with suppress(RuntimeError):  # its event loop is closed, and the run with it
                end()
        return end is not None or not begun

    @contextmanager
    def ending(self, scope: CancelScope) -> Iterator[bool]:
        """Begins a run of this task that ends with `scope`; gives whether it may."""
        loop = cast("Any", current_token().native_token)  # asyncio's or trio's
        soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
        try:
            yield self.begin(lambda: soon(scope.cancel))
        finally:
            with self._lock:
                self._end = None
