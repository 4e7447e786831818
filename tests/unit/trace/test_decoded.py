"""An entry is read if its line is the one way to write it, as `codec` has it, and never otherwise."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from permissions.errors import TraceError
from permissions.trace import codec
from permissions.trace.decoded import decode_entry

ENTRY: dict[str, Any] = {
    "body": {"a": [1, None, {"b": "é\n\u2028\x7f"}], "c": True},
    "call": "call-1",
    "contents": {"input": "A" * 43 + "="},
    "index": 7,
    "run": "run-1",
    "time": 1_750_000_000_000_000,
    "type": "intent",
    "v": 2,
}
LINE = codec.encode(ENTRY)


def is_entry(line: bytes) -> bool:
    """The same by `codec` and plain checks."""
    try:
        said = codec.decode(line)
    except TraceError:
        return False
    return (
        said.keys() == ENTRY.keys()
        and type(said["body"]) is type(said["contents"]) is dict
        and all(type(said[each]) is int for each in ("index", "time", "v"))
        and all(said[each] is None or type(said[each]) is str for each in ("run", "call"))
        and type(said["type"]) is str
        and min(said["index"], said["time"]) >= 0
        and said["v"] == 2
        and all(re.fullmatch("[a-z][a-z0-9_]{0,40}", each) for each in said["contents"])
        and all(
            type(each) is str and re.fullmatch("[A-Za-z0-9+/]{43}=", each)
            for each in said["contents"].values()
        )
    )


def is_read(line: bytes) -> bool:
    try:
        entry = decode_entry(line)
    except TraceError:
        return False
    members = (getattr(entry, each) for each in ENTRY)
    return dict(zip(ENTRY, members, strict=True)) == codec.decode(line)


def swapped(old: str, new: str) -> bytes:
    assert old.encode() in LINE
    return LINE.replace(old.encode(), new.encode(errors="surrogatepass"), 1)


def nested(levels: int) -> bytes:
    return swapped("[1,", "[" + "[" * levels + "]" * levels + ",1,")


OTHERS = {
    "a space": swapped('"v":2', '"v": 2'),
    "a member twice": swapped('"v":2', '"v":2,"v":2'),
    "a name twice": swapped('"c":true', '"c":true,"c":true'),
    "another order": swapped('"type":"intent","v":2', '"v":2,"type":"intent"'),
    "a member more": swapped('"v":2', '"v":2,"w":1'),
    "a member less": swapped('"call":"call-1",', ""),
    "an escape": swapped("é", "\\u00e9"),
    "an escaped slash": swapped("call-1", "call\\/1"),
    "half a character": swapped("é", "\\ud800"),
    "half a character as bytes": swapped("é", "\ud800"),
    "no UTF-8": LINE.replace("é".encode(), b"\xe9"),
    "a byte-order mark": b"\xef\xbb\xbf" + LINE,
    "a name that is not ASCII": swapped('"a":', '"ä":'),
    "a zero with a sign": swapped("[1,", "[-0,"),
    "a fraction": swapped("[1,", "[1.0,"),
    "an exponent": swapped("[1,", "[1e3,"),
    "NaN": swapped("[1,", "[NaN,"),
    "beyond 2^53": swapped("[1,", f"[{2**53},"),
    "beyond 2^64": swapped("[1,", f"[{2**70},"),
    "an index that is a truth": swapped('"index":7', '"index":true'),
    "an index below zero": swapped('"index":7', '"index":-1'),
    "an index beyond": swapped('"index":7', f'"index":{2**53}'),
    "a time that is a fraction": swapped("1750000000000000", "1750000000000000.0"),
    "no run": swapped('"run-1"', '""'),
    "a run that is null": swapped('"run-1"', "null"),
    "a run that is a number": swapped('"run-1"', "1"),
    "a body that is a list": swapped('"body":{', '"body":[{').replace(b',"call"', b'],"call"'),
    "a content of another name": swapped("input", "Input"),
    "a content with a line end": swapped("input", "input\\n"),
    "a digest that is none": swapped("A=", "A"),
    "a digest that is null": swapped(f'"{"A" * 43}="', "null"),
    "another version": swapped('"v":2', '"v":3'),
    "a version that is a text": swapped('"v":2', '"v":"2"'),
    "a tab": swapped("call-1", "call\\t1"),
    "a tab as it is": swapped("call-1", "call\t1"),
    "a tab as a number": swapped("call-1", "call\\u00091"),
    "28 levels": nested(28),
    "29 levels": nested(29),
    "30 levels": nested(30),
    "31 levels": nested(31),
    "300 levels": nested(300),
    "30,000 levels": nested(30_000),
    "a long line": swapped("call-1", "x" * (codec.MAX_LINE - len(LINE) + 6)),
    "a line too long": swapped("call-1", "x" * (codec.MAX_LINE - len(LINE) + 7)),
    "a list": b"[" + LINE + b"]",
    "nothing": b"",
    "half of it": LINE[:-4],
    "more after it": LINE + b"}",
}


@pytest.mark.parametrize("way", OTHERS)
def test_lines_are_read_as_codec_reads_them(way: str) -> None:
    assert is_read(OTHERS[way]) == is_entry(OTHERS[way])


def test_some_of_these_are_entries_and_most_are_none() -> None:
    read = {way for way in OTHERS if is_read(OTHERS[way])}

    assert is_read(LINE)
    assert {"no run", "a run that is null", "a tab", "28 levels", "a long line"} <= read
    assert len(read) < 10


@given(st.integers(0, len(LINE) - 1), st.binary(max_size=3), st.integers(0, 2))
@example(at=0, put=b" ", over=0)
def test_a_line_that_was_edited_is_read_as_codec_reads_it(
    at: int, put: bytes, over: int
) -> None:
    line = LINE[:at] + put + LINE[at + over :]

    assert is_read(line) == is_entry(line)


def test_every_character_is_written_in_the_one_way() -> None:
    """The two libraries have to agree on each."""
    letters = [chr(each) for each in range(0x110000) if not 0xD800 <= each < 0xE000]
    for first in range(0, len(letters), 8000):
        text = "".join(letters[first : first + 8000])
        assert is_read(codec.encode({**ENTRY, "body": {"text": text}}))
