"""Wakes the tasks of one event loop from another thread, many at a time.

One task leads: it waits for an eventfd to become readable, and wakes the others whose entry
is durable. So a batch costs one wake-up per event loop, on any backend of anyio, without a
background task.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import deque
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable


class Wakeup:
    """Where the tasks of one event loop wait for a growing position."""

    def __init__(self, position: Callable[[], float]) -> None:
        """`position` may be called from any thread and never goes back."""
        self._position = position
        self._eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # With its last user, and not before: a task may still be waiting when a log closes.
        weakref.finalize(self, os.close, self._eventfd)
        self._waiting = 0
        self._led = False
        self._sleepers: deque[tuple[float, anyio.Event]] = deque()

    def notify(self) -> None:
        """Tells that the position has grown. Called from the committing thread."""
        # `wait` counts itself before it looks at the position, and the position grows before
        # the count is read here, so that one of the two always sees the other.
        if self._waiting:
            os.eventfd_write(self._eventfd, 1)

    async def wait(self, target: float) -> None:
        """Returns when the position has reached `target`."""
        self._waiting += 1
        try:
            while self._position() < target:
                if self._led:
                    await self._sleep(target)
                else:
                    await self._lead(target)
        finally:
            self._waiting -= 1

    async def _lead(self, target: float) -> None:
        self._led = True
        try:
            while self._position() < target:
                await anyio.wait_readable(self._eventfd)
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._eventfd)
                self._wake_reached()
        finally:
            self._led = False
            self._wake_one()

    async def _sleep(self, target: float) -> None:
        sleeper = target, anyio.Event()
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            if not sleeper[1].is_set():
                self._sleepers.remove(sleeper)
            elif not self._led:
                self._wake_one()  # a leader that was called but cancelled calls the next

    def _wake_reached(self) -> None:
        position = self._position()
        while self._sleepers and self._sleepers[0][0] <= position:
            self._sleepers.popleft()[1].set()

    def _wake_one(self) -> None:
        if self._sleepers:
            self._sleepers.popleft()[1].set()
