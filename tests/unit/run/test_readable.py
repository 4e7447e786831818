"""Whatever a value does when it is looked at, what an agent could read in it is read, or missed openly.

A tool's own code stands in these classes; that is trusted, and still often careless: a text with
attributes, a number that says an account, a proxy that fetches.
"""

from __future__ import annotations

import enum
import json
from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from permissions.run.readable import MAX_NODES, read

ACCOUNT = "DE02100500000000202051"


class Text(str):
    """As a parser's text has the document it stands in."""

    __slots__ = ("beside",)
    beside: Any


class Other(str):
    """Says something else than it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return "harmless"

    def isascii(self) -> bool:
        return True


class Said(int):
    def __str__(self) -> str:
        return ACCOUNT


class Shown(float):
    def __repr__(self) -> str:
        return ACCOUNT


class Lines(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(["harmless"])


class Beside(list[Any]):
    note = ""


class Named(dict[str, Any]):
    note = ""


class Bytes(bytes):
    def decode(self, *_: Any) -> str:
        return "harmless"

    def __bytes__(self) -> bytes:
        return b"harmless"


class Choice(enum.Enum):
    ONE = 1

    def __str__(self) -> str:
        return ACCOUNT


def _with(made: Any, name: str) -> Any:
    setattr(made, name, ACCOUNT)
    return made


def _caused() -> BaseException:
    err = LookupError("outer")
    err.__cause__ = ValueError(ACCOUNT)
    return err


SEEN = {
    "a text with an attribute": _with(Text("x"), "beside"),
    "a text that says another": Other(ACCOUNT),
    "a number that says a text": Said(5),
    "a fraction that shows a text": Shown(0.5),
    "a list that gives others": Lines([ACCOUNT]),
    "a list with an attribute": _with(Beside(), "note"),
    "an object with an attribute": _with(Named(a=1), "note"),
    "bytes that decode otherwise": Bytes(ACCOUNT.encode()),
    "a choice that says a text": Choice.ONE,
    "a cause": _caused(),
    "a group": ExceptionGroup("x", [ValueError(ACCOUNT)]),
}


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("nested", [False, True], ids=["itself", "within an object"])
def test_what_hides_in_a_value_is_read(name: str, nested: bool) -> None:  # noqa: FBT001
    value: Any = SEEN[name]
    if nested:
        value = UserDict(a=value)

    assert ACCOUNT in json.dumps(read(value).document)


class Lying:
    """`isinstance` takes it for what it says."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return dict


class Raising:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError


class Closed:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Quitting:
    def __str__(self) -> str:
        raise SystemExit(3)


class Meta(type):
    @property
    def __mro__(cls) -> Any:
        raise RuntimeError

    @property
    def __module__(cls) -> Any:  # type: ignore[override]
        raise RuntimeError


class Odd(metaclass=Meta):
    pass


class Fetching:
    """What it gives is not in its attributes."""

    def __iter__(self) -> Iterator[str]:
        return iter([ACCOUNT])


class Asking:
    def __getattr__(self, name: str) -> Any:
        return Asking()


class ByIndex:
    def __getitem__(self, index: int) -> str:
        return ACCOUNT


class Unread(Mapping[str, str]):
    def __getitem__(self, key: str) -> str:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        return 1


class Endless(Mapping[str, str]):
    def __getitem__(self, key: str) -> str:
        return ACCOUNT

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield str(number)

    def __len__(self) -> int:
        return 1


def _released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


MISSED = {
    "another class": Lying,
    "no class": Raising,
    "no attribute": Closed,
    "an odd class": Odd,
    "what it fetches": Fetching,
    "what it is asked for": Asking,
    "what it has by index": ByIndex,
    "a mapping that fails": Unread,
    "a mapping without an end": Endless,
    "a view that was released": _released,
}


@pytest.mark.parametrize("name", MISSED)
def test_what_cannot_be_read_is_told_and_fails_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The product's bound is slow to reach in each form; what is tried is what lies beyond it.
    monkeypatch.setattr("permissions.run.readable.MAX_NODES", MAX_NODES // 500)

    for value in (MISSED[name](), {"a": [MISSED[name]()]}):
        found = read(value)
        assert not found.whole
        json.dumps(found.document)


def test_a_text_that_ends_the_program_ends_nothing() -> None:
    assert read(Quitting()).whole
