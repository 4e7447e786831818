"""Texts made to hide something, or to keep a detector busy."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from permissions.detection.detectors import SHIPPED, Detectors
from permissions.detection.personal import find_personal
from permissions.detection.secrets import find_secrets
from permissions.detection.views import views

KEY = "AKIA" + "Q4TZ7WKJ3MNB5XHR"
HIDDEN = {
    "zero width": KEY[:3] + "\u200b" + KEY[3:9] + "\u2060" + KEY[9:],
    "bidi": "\u202e" + KEY[:8] + "\u202c" + KEY[8:],
    "soft hyphen": "\u00ad".join(KEY),
    "variation selectors": "\ufe0f".join(KEY),
    "tags": KEY[:5] + "\U000e0041" + KEY[5:],
    "full width": "".join(chr(ord(char) + 0xFEE0) for char in KEY),
    "mathematical": "".join(
        chr(0x1D400 + ord(char) - 65) if char.isalpha() else char for char in KEY
    ),
    "two lines": KEY[:7] + "\n" + KEY[7:],
    "indented lines": KEY[:7] + "\r\n\t  " + KEY[7:13] + "\n" + KEY[13:],
    "base64": base64.b64encode(f"key {KEY}".encode()).decode(),
    "base64 in lines": base64.encodebytes(f"this is the key: {KEY}, as it is {KEY}".encode()).decode(),
    "base64 after letters": "xyz" + base64.b64encode(f"key {KEY} there".encode()).decode(),
    "url-safe base64": base64.urlsafe_b64encode(f"??>>{KEY}".encode()).decode().rstrip("="),
    "base64 twice": base64.b64encode(base64.b64encode(f"key {KEY}".encode())).decode(),
    "hex": KEY.encode().hex(),
    "spaced hex": KEY.encode().hex(" "),
    "percent": "".join(f"%{ord(char):02x}" for char in KEY),
    "percent of a part": KEY[:4] + "%51" + KEY[5:],
}  # fmt: skip


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_what_is_hidden_by_its_form_is_found_where_it_stands(hidden: str) -> None:
    text = f"see: {hidden} ."

    found = list(find_secrets(text))

    assert KEY in {each.value for each in found}
    for each in found:
        assert 0 <= each.start < each.end <= len(text)
        if each.value == KEY:  # the run that was decoded may begin before it
            assert set(text[each.start : each.end]) >= set(hidden[5:8])


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "A1" * 100_000,
        "password=" * 20_000,
        "://:" * 40_000,
        "a@" * 80_000,
        "1 " * 100_000,
        "12" * 100_000,
        "aws" * 60_000,
        "-----BEGIN PRIVATE KEY-----" * 6000,
        "%41" * 60_000,
        "\u200b" * 150_000,
        "\n" * 200_000,
        "x\n" * 100_000,
        " \n" * 100_000,
        base64.b64encode(b"AKIA" * 20_000).decode(),
        "eyJ" * 60_000,
        "DE89" * 50_000,
        "call 1234567 " * 15_000,
        "4111 1111 1111 1111 " * 8_000,
        "+49 30 901820 " * 8_000,
    ],
    ids=lambda text: ascii(text[:10]),
)
def test_no_text_keeps_a_detector_busy(text: str) -> None:
    """Time grows with the text: 50 kB take far less than the deadline of a look."""
    text = text[: len(text) // 4]
    began = time.thread_time()
    for find in (find_secrets, find_personal):
        for count, _ in enumerate(find(text)):
            if count > 20_000:
                break
    assert time.thread_time() - began < 10  # a machine with five times the work of its cores


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_each_view_knows_where_its_characters_came_from(text: str) -> None:
    for view in views(text):
        for at in range(0, len(view.text), 7):
            start, end = view.span(at, at + 1)
            assert 0 <= start < end <= len(text)


def test_views_are_bounded() -> None:
    text = base64.b64encode(b"some plain text, " * 20_000).decode()
    assert sum(len(view.text) for view in views(text)) < 8 * len(text)


def test_deep_documents_are_walked_without_recursion() -> None:
    document: object = KEY
    for _ in range(50_000):
        document = [document]
    (found,) = Detectors().look_now(document, SHIPPED)["secrets"]  # type: ignore[arg-type]
    assert found.value == KEY
