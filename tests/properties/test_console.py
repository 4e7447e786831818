"""No JSON value whatever can show an approver something else than it is."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from json_values import json_values
from people import REASON, START, payment

from permissions.approval import console, text
from permissions.approval.model import AccessRequest

FIELDS = {"", "request", "tool", "definition", "arguments", "asked by", "workspace"}
FIELDS |= {"run, call", "plan", "why", "needs", "expires", "for whom", "use within"}
TEXT = st.text() | st.text(
    st.characters(categories=["Cc", "Cf", "Mn", "Me", "Zl", "Zp", "Zs", "Lo", "So"])
)
VALUES = json_values(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT, names=TEXT
)


@given(VALUES)
def test_the_shown_text_is_the_value(value: object) -> None:
    if value not in (float("inf"), float("-inf")):
        assert json.loads(text.literal(value)) == value


@given(TEXT)
def test_only_characters_with_a_shape_are_shown(written: str) -> None:
    for char in text.literal(written):
        assert char.isprintable()
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert char not in text.BLANK


@given(TEXT, TEXT)
def test_different_texts_look_different(one: str, other: str) -> None:
    assert (text.visible(one) == text.visible(other)) == (one == other)


@given(st.dictionaries(TEXT, VALUES, max_size=5), TEXT, st.integers(24, 120))
def test_every_line_begins_as_we_say(
    arguments: dict[str, object], subject: str, width: int
) -> None:
    request = AccessRequest(
        id="ar-1",
        call=payment(arguments=json.dumps(arguments), subject=subject),
        reasons=(REASON,),
        created_at=START,
        expires_at=START + 1,
    )
    page = console.page(request, now=START, full=True, width=width).text
    body, head = page.rsplit("\n\n", 1)

    for line in head.split("\n"):
        assert line[:12].strip(" |") in FIELDS
    assert all(line.startswith("  ") for line in body.split("\n")[1:])
