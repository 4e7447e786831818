"""Hostile text as HTML: nothing acts, nothing hides, and it reads back."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from hostile import TEXTS
from hypothesis import given
from hypothesis import strategies as st

from permissions.console import shown_text
from permissions.console.shown_text import Shown

_OURS = re.compile(r'<span class="esc">(\\u[0-9a-f]{4})</span>')
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def text_of(shown: Shown) -> str:
    """What somebody reads, without the marks of ours."""
    plain = _OURS.sub(r"\1", shown.html)
    assert "<" not in plain
    assert ">" not in plain
    return html.unescape(plain)


@given(json_values)
def test_a_value_reads_back_from_the_page(value: Any) -> None:
    assert json.loads(text_of(shown_text.value(value, whole=True))) == value


@given(st.text(max_size=60))
def test_a_text_with_lines_reads_back_from_the_page(text: str) -> None:
    shown = text_of(shown_text.block(text, whole=True))

    lines = [json.loads(f'"{each}"') for each in re.sub(r'(?<!\\)"', r"\"", shown).split("\n")]
    assert "\n".join(lines) == text


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_hostile_text_is_text(text: str) -> None:
    for shown in (shown_text.block(text), shown_text.value(text), Shown(shown_text.line(text))):
        seen = text_of(shown)
        assert not {"\u202e", "\u2066", "\u200b", "\x1b", "\x00"} & set(seen)


def test_what_is_left_out_is_counted() -> None:
    shown = shown_text.block("a" * 5000)

    assert shown.left_out == 5000 - shown_text.SHOWN
    assert shown_text.block("a" * 5000, whole=True).left_out == 0


def test_each_value_has_the_name_people_use_and_its_pointer() -> None:
    given_value = {"items": [{"to": "a"}], "odd/name~": 1, "no": {}}

    assert list(shown_text.leaves(given_value)) == [
        ("items[0].to", "/items/0/to", "a"),
        ('["odd/name~"]', "/odd~1name~0", 1),
        ("no", "/no", {}),
    ]
