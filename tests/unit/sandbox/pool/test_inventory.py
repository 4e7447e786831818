"""What a pool keeps: bounds, keys and ages, whatever is asked of it in whatever order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from effort import tries
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sandbox.pool.inventory import REST_SECONDS, Inventory

pytestmark = pytest.mark.both_backends

KEYS = st.sampled_from("abc")


@dataclass(eq=False)
class Thing:
    key: str
    born: float
    is_sound: bool = True


def sound(thing: Thing) -> bool:
    return thing.is_sound


def inventory(*, each: int = 1, total: int = 4) -> Inventory[str, Thing]:
    return Inventory(each=each, total=total, idle_seconds=100, lifetime_seconds=50)


class Inventories(RuleBasedStateMachine):
    """Two per key, three in all, however they are taken, broken and left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.inventory = inventory(each=2, total=3)
        self.now = 0.0
        self.owed: list[str] = []
        self.made: list[Thing] = []
        self.gone: list[Thing] = []

    @rule(seconds=st.floats(0, 120))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS)
    def take(self, key: str) -> None:
        thing = self.inventory.take(key, self.now, is_sound=sound)
        if thing is not None:
            assert thing.key == key
            assert thing.is_sound
            assert self.now - thing.born < 50
            self.gone.append(thing)

    @rule()
    def reserve(self) -> None:
        key = self.inventory.reserve(self.now)
        if key is not None:
            self.owed.append(key)

    @precondition(lambda self: self.owed)
    @rule()
    def put(self) -> None:
        thing = Thing(self.owed.pop(), self.now)
        self.made.append(thing)
        self.inventory.put(thing.key, thing, self.now)

    @precondition(lambda self: self.owed)
    @rule()
    def fail(self) -> None:
        self.inventory.fail(self.owed.pop(), self.now)

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def break_one(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.made)).is_sound = False

    @rule()
    def discard(self) -> None:
        self.gone += self.inventory.discard(self.now, is_sound=sound)

    @invariant()
    def holds_no_more_than_it_may(self) -> None:
        assert self.inventory.reserved == len(self.owed)
        assert self.inventory.waiting + self.inventory.reserved <= 3

    @invariant()
    def gives_nothing_twice(self) -> None:
        assert not [thing for thing, times in Counter(map(id, self.gone)).items() if times > 1]

    def teardown(self) -> None:
        """Everything that was put away has come out again, once."""
        while self.owed:
            self.put()
        self.gone += self.inventory.clear()
        assert sorted(map(id, self.gone)) == sorted(map(id, self.made))


TestInventories = Inventories.TestCase
TestInventories.settings = settings(max_examples=tries(60), stateful_step_count=30)


def test_the_emptiest_key_is_filled_first() -> None:
    kept = inventory(each=2, total=4)
    kept.use("a", 0)
    kept.use("b", 0)

    assert [kept.reserve(0) for _ in range(5)] == ["a", "b", "a", "b", None]


def test_a_key_that_failed_rests() -> None:
    """Or a tool that cannot be imported would keep the machine busy."""
    kept = inventory()
    kept.use("a", 0)
    assert kept.reserve(0) == "a"
    kept.fail("a", 1)

    assert kept.reserve(REST_SECONDS) is None
    assert kept.reserve(1 + REST_SECONDS) == "a"


def test_an_idle_key_is_given_up() -> None:
    kept = inventory()
    kept.use("a", 0)
    thing = Thing("a", 0)
    assert kept.reserve(60) == "a"
    kept.put("a", thing, 60)

    assert kept.discard(99, is_sound=sound) == []
    assert kept.discard(100, is_sound=sound) == [thing]
    assert kept.reserve(100) is None


def test_what_is_too_old_is_replaced_while_its_key_is_in_use() -> None:
    kept = inventory()
    kept.use("a", 0)
    thing = Thing("a", 0)
    kept.reserve(0)
    kept.put("a", thing, 0)
    kept.use("a", 40)

    assert kept.discard(50, is_sound=sound) == [thing]
    assert kept.reserve(50) == "a"
