"""What a pool keeps ready and what it owes: bookkeeping by key, without a clock or any IO.

A key is in use from its first `use` until nobody used it for `idle_seconds`. Keys in use are
filled up to `each`, the emptiest first, as long as there is room for all. What is put away
goes in under the key it was reserved for and comes out under that key alone, once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")

REST_SECONDS = 30.0
"""After a failure, before the same key is tried again."""


@dataclass(slots=True)
class _Slot(Generic[T]):
    """One key's things, oldest first, each with the time it was put away."""

    used: float
    waiting: deque[tuple[float, T]] = field(default_factory=deque)
    reserved: int = 0
    rests_until: float = float("-inf")


class Inventory(Generic[K, T]):
    """Things by key. Every time is in seconds of one clock that never goes back.

    Args:
        each: things kept ready per key in use.
        total: things waiting and reserved, of all keys.
        idle_seconds: a key nobody used for so long is forgotten.
        lifetime_seconds: a thing is not handed out at this age or above.
    """

    def __init__(
        self, *, each: int, total: int, idle_seconds: float, lifetime_seconds: float
    ) -> None:
        self._each = each
        self._total = total
        self._idle = idle_seconds
        self._lifetime = lifetime_seconds
        self._slots: dict[K, _Slot[T]] = {}
        self._discarded: list[T] = []

    @property
    def waiting(self) -> int:
        """Things that can be taken."""
        return sum(len(slot.waiting) for slot in self._slots.values())

    @property
    def reserved(self) -> int:
        """Things that are on their way."""
        return sum(slot.reserved for slot in self._slots.values())

    @property
    def is_full(self) -> bool:
        """True when things that wait take all the room."""
        return self.waiting >= self._total

    def use(self, key: K, now: float) -> int:
        """Puts a key in use; gives how many things wait under it."""
        slot = self._slots.setdefault(key, _Slot(now))
        slot.used = now
        return len(slot.waiting)

    def take(self, key: K, now: float, *, is_sound: Callable[[T], bool]) -> T | None:
        """The oldest sound thing under `key`, None if there is none; puts the key in use."""
        self.use(key, now)
        slot = self._slots[key]
        while slot.waiting:
            put, thing = slot.waiting.popleft()
            if now - put < self._lifetime and is_sound(thing):
                return thing
            self._discarded.append(thing)
        return None

    def reserve(self, now: float) -> K | None:
        """A key that lacks something, which is owed to it from now on: `put` or `fail` follows."""
        if self.waiting + self.reserved >= self._total:
            return None
        lacking = [
            (len(slot.waiting) + slot.reserved, key)
            for key, slot in self._slots.items()
            if len(slot.waiting) + slot.reserved < self._each
            and now >= slot.rests_until
            and now - slot.used < self._idle
        ]
        if not lacking:
            return None
        _, key = min(lacking, key=lambda pair: pair[0])
        self._slots[key].reserved += 1
        return key

    def put(self, key: K, thing: T, now: float) -> None:
        """Puts away what was reserved."""
        slot = self._slots[key]
        slot.reserved -= 1
        slot.waiting.append((now, thing))

    def fail(self, key: K, now: float) -> None:
        """Nothing came of what was reserved; the key rests for `REST_SECONDS`."""
        slot = self._slots[key]
        slot.reserved -= 1
        slot.rests_until = now + REST_SECONDS

    def discard(self, now: float, *, is_sound: Callable[[T], bool]) -> list[T]:
        """Gives up what is too old, unsound or of an idle key: the caller's to destroy."""
        for key, slot in list(self._slots.items()):
            idle = now - slot.used >= self._idle
            kept: deque[tuple[float, T]] = deque()
            for put, thing in slot.waiting:
                if idle or now - put >= self._lifetime or not is_sound(thing):
                    self._discarded.append(thing)
                else:
                    kept.append((put, thing))
            slot.waiting = kept
            if idle and not slot.reserved:
                del self._slots[key]
        discarded, self._discarded = self._discarded, []
        return discarded

    def clear(self) -> list[T]:
        """Gives up everything that waits and forgets every key: nothing may be owed by now."""
        left = [thing for slot in self._slots.values() for _, thing in slot.waiting]
        left += self._discarded
        self._slots, self._discarded = {}, []
        return left
