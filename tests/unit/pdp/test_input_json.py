"""What passes the check reads back as the same value; everything else is refused."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_values import json_values

from permissions.errors import PdpInputError
from permissions.pdp.input_json import MAX_BYTES, MAX_DEPTH, input_bytes

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)


@given(st.dictionaries(st.text(max_size=20), json_values(scalars), max_size=4))
def test_plain_json_passes_unchanged(document: dict[str, Any]) -> None:
    assert json.loads(input_bytes(document)) == document


class _Word(StrEnum):
    A = "a"


class _Number(IntEnum):
    ONE = 1


class _Text(str):
    __slots__ = ()


REFUSED = {
    "nan": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "above 64 bits": 2**63,
    "beyond unsigned": 2**64,
    "below 64 bits": -(2**63) - 1,
    "huge": 10**400,
    "lone surrogate": "a\ud800",
    "surrogate key": {"\udfff": 1},
    "number key": {1: 2},
    "null key": {None: 2},
    "set": {1},
    "bytes": b"a",
    "uuid": uuid.UUID(int=1),
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "enum of text": _Word.A,
    "enum of number": _Number.ONE,
    "subclass of text": _Text("a"),
    "object": object(),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize(
    "wrap",
    [lambda v: v, lambda v: [v], lambda v: [[{"b": v}]]],
    ids=["plain", "in a list", "deeper"],
)
def test_what_engines_read_differently_is_refused(value: Any, wrap: Any) -> None:
    with pytest.raises(PdpInputError):
        input_bytes({"a": wrap(value)})


@given(
    json_values(scalars),
    st.sampled_from([math.nan, math.inf, 2**63, "\udc00", b""]),
    st.randoms(),
)
def test_one_bad_value_anywhere_is_found(value: Any, bad: Any, random: Any) -> None:
    holders: list[Any] = []

    def collect(item: Any) -> None:
        if isinstance(item, (dict, list)):
            holders.append(item)
            for child in item.values() if isinstance(item, dict) else item:
                collect(child)

    document = {"a": value}
    collect(document)
    holder = random.choice(holders)
    if isinstance(holder, dict):
        holder["bad"] = bad
    else:
        holder.append(bad)

    with pytest.raises(PdpInputError):
        input_bytes(document)


@pytest.mark.parametrize("document", [None, [], "a", 1])
def test_only_an_object_is_an_input(document: Any) -> None:
    with pytest.raises(PdpInputError):
        input_bytes(document)


def nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth - 1):
        document = {"a": document}
    return document


def test_the_deepest_document_that_passes() -> None:
    assert input_bytes(nested(MAX_DEPTH))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 200, 5000])
def test_deeper_is_refused(depth: int) -> None:
    with pytest.raises(PdpInputError):
        input_bytes(nested(depth))


def test_a_cycle_is_refused() -> None:
    document: dict[str, Any] = {}
    document["a"] = [document, document]

    with pytest.raises(PdpInputError):
        input_bytes(document)


def test_the_longest_document_that_passes() -> None:
    assert len(input_bytes({"a": "x" * (MAX_BYTES - 8)})) == MAX_BYTES


def test_a_longer_one_is_refused() -> None:
    with pytest.raises(PdpInputError):
        input_bytes({"a": "x" * (MAX_BYTES - 7)})


@pytest.mark.parametrize("bad", [math.nan, 2**70, uuid.UUID(int=2**100), "secret\ud800"])
def test_the_message_names_no_value(bad: Any) -> None:
    with pytest.raises(PdpInputError) as caught:
        input_bytes({"secret": "secret", "value": bad})

    assert "secret" not in str(caught.value)
    assert str(bad) not in str(caught.value)
