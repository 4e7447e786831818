"""The journal gives back the very same value, or says that it cannot."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.types import Command, Send
from pydantic import BaseModel, PrivateAttr

from permissions.broker.kept_value import NotKeptError, keep, restored


class Model(BaseModel, extra="allow"):
    """With an extra field and a private attribute."""

    a: int = 1
    _own: list[int] = PrivateAttr(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Slots, no dictionary."""

    x: int
    y: Any = None


@dataclass
class Open:
    """A dictionary, and one more attribute than fields."""

    x: list[int] = field(default_factory=list)


class Pair(NamedTuple):
    """A tuple with names."""

    a: int
    b: Any


class Color(Enum):
    """A member."""

    RED = "red"


class Level(IntEnum):
    """A member that is a number, too."""

    LOW = 1


class Plain:
    """An ordinary object."""

    def __init__(self) -> None:
        self.rows = {1: ("a", {2})}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]


VALUES = [
    *(None, True, 0, -(2**70), 2**80, 1.5, -0.0, math.inf, "é", "\ud800x\udcff", ""),
    *(b"\xff\0", bytearray(b"a"), [1, (2, [3])], (), {1, 2}, frozenset({(1,)})),
    *({"$": 1, "v": 2}, {1: "a", (1, 2): None}, {"\ud800": 1}, Decimal("1.10"), Path("a/b")),
    *(date(2026, 1, 2), time(1, 2, fold=1), timedelta(-1, 2, 3), UUID(int=7)),
    datetime(2026, 1, 2, tzinfo=UTC),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    datetime(2026, 1, 2, tzinfo=ZoneInfo("UTC")),
    *(Color.RED, Level.LOW, Pair(1, {2}), Frozen(1, Open([2])), Open([1]), Plain()),
    *(Model(a=2), Model.model_validate({"a": 3, "more": (1, 2)})),
    ToolMessage("text", tool_call_id="1", artifact={"rows": (1, {2})}, status="error"),
    Command(
        update={"messages": [ToolMessage("t", tool_call_id="1")], "seen": {1, 2}},
        goto=[Send("node", {"x": AIMessage("hi")})],
        graph=Command.PARENT,
    ),
]


@pytest.mark.parametrize("index", range(len(VALUES)))
def test_a_value_comes_back_as_the_same(index: int) -> None:
    value = VALUES[index]
    again = restored(keep(value))

    assert type(again) is type(value)
    assert repr(again) == repr(value) or not isinstance(value, Command)
    assert again == value


def test_nan_comes_back_as_nan() -> None:
    again = restored(keep({"a": math.nan}))

    assert math.isnan(again["a"])


def test_private_attributes_and_what_was_set_come_back() -> None:
    model = Model()
    model._own.append(5)

    again = restored(keep(model))

    assert again._own == [5]
    assert again.model_fields_set == model.model_fields_set == set()


def test_an_exception_as_a_value_comes_back_with_its_notes() -> None:
    err = ValueError("no", 1)
    err.add_note("seen")

    again = restored(keep([err]))[0]

    assert (type(again), again.args, again.__notes__) == (ValueError, ("no", 1), ["seen"])


def local() -> Any:
    class Hidden:
        pass

    return Hidden()


def cycle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


class Reduced:
    """Says itself how it is copied."""

    def __reduce__(self) -> Any:
        return (Reduced, ())


@pytest.mark.parametrize(
    "value",
    [object(), local(), cycle(), Reduced(), len, sys, OSError(2, "no", "f"), iter([1]), Plain],
    ids=["bare", "local class", "cycle", "reduce", "builtin", "module", "os", "lazy", "class"],
)
def test_what_would_come_back_otherwise_is_not_kept(value: Any) -> None:
    with pytest.raises(NotKeptError):
        keep({"deep": [value]})


def test_nothing_is_imported_and_no_constructor_called() -> None:
    """A class that is not loaded is not there."""
    written = b'{"$":"object","v":[["antigravity","fly"],{}]}'

    with pytest.raises(NotKeptError):
        restored(written)

    assert "antigravity" not in sys.modules


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.text(st.characters(categories=["Cs"]))
    | st.datetimes()
    | st.decimals(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


@given(JSON_LIKE)
def test_any_nesting_comes_back_as_the_same(value: Any) -> None:
    assert repr(restored(keep(value))) == repr(value)
