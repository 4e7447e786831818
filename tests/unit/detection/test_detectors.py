"""One look at a document: where things stand, what is refused, and a detector of one's own."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from detection_lines import lines

from permissions.detection import secrets
from permissions.detection.detectors import (
    MAX_CHARACTERS,
    MAX_FINDINGS,
    SHIPPED,
    Detectors,
)
from permissions.detection.secrets import find_secrets
from permissions.errors import ConfigError, DetectionError, DetectionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


async def test_a_finding_names_its_leaf_and_its_characters() -> None:
    document = {"to": "ana", "parts": [{"text": f"äé token {KEY}."}]}

    found = (await Detectors().look(document, SHIPPED))["secrets"]

    assert [each.document() for each in found] == [
        {"kind": "github_token", "pointer": "/parts/0/text", "start": 9, "end": 49}
    ]
    assert (found[0].value, found[0].raw) == (KEY, KEY)


async def test_the_name_of_a_member_says_that_its_value_is_a_secret() -> None:
    document = {"password": "River#42stone", "note": "River#42stone"}

    found = (await Detectors().look(document, ["secrets"]))["secrets"]

    assert [each.pointer for each in found] == ["/password"]
    assert (found[0].start, found[0].end) == (0, 13)


async def test_keys_and_long_numbers_are_looked_at_too() -> None:
    document = {f"a {KEY}": 1, "card": 4539578763621486, "flag": True}

    found = await Detectors().look(document, SHIPPED)

    assert [each.kind for each in found["secrets"]] == ["github_token"]
    assert [(each.kind, each.pointer) for each in found["personal"]] == [
        ("payment_card", "/card")
    ]


async def test_only_the_named_ones_look() -> None:
    assert await Detectors().look({"a": KEY}, ()) == {}
    assert await Detectors().look({"a": KEY}, ["personal"]) == {"personal": ()}


async def test_a_detector_of_ones_own_is_asked_for_each_text() -> None:
    asked: list[str] = []

    def project_names(text: str) -> Iterator[tuple[str, int, int]]:
        asked.append(text)
        if (at := text.find("Nightjar")) >= 0:
            yield "project", at, at + 8

    own = Detectors({"projects": project_names})
    found = (await own.look({"a": "about Nightjar", "b": "nothing here"}, ["projects"]))[
        "projects"
    ]

    assert sorted(asked) == ["about Nightjar", "nothing here"]
    assert [(each.pointer, each.start, each.raw) for each in found] == [("/a", 6, "Nightjar")]


@pytest.mark.parametrize(
    "answer",
    [
        [("Kind", 0, 1)],
        [("kind", 0, 0)],
        [("kind", -1, 3)],
        [("kind", 0, 999)],
        [("kind", 0, True)],
        [("kind", 0)],
        ["kind"],
        [None],
        3,
        None,
    ],
    ids=[
        "capital",
        "empty",
        "before",
        "behind",
        "bool",
        "short",
        "text",
        "none",
        "number",
        "nothing",
    ],
)
async def test_an_answer_of_another_form_is_refused(answer: Any) -> None:
    with pytest.raises(DetectionError, match="own"):
        await Detectors({"own": lambda _: answer}).look({"a": "some text"}, ["own"])


async def test_one_that_fails_is_refused_and_its_words_are_not_told() -> None:
    def broken(text: str) -> Any:
        raise ValueError(text)

    with pytest.raises(DetectionError, match=r"own failed: ValueError") as refused:
        await Detectors({"own": broken}).look({"a": "a secret text"}, ["own"])
    assert "secret" not in str(refused.value)


async def test_one_that_is_late_is_refused() -> None:
    release = threading.Event()

    def hangs(_: str) -> Any:
        release.wait()
        return []

    try:
        with pytest.raises(DetectionTimeoutError, match="own"):
            await Detectors({"own": hangs}, seconds=0.05).look({"a": "some text"}, ["own"])
    finally:
        release.set()


async def test_too_much_is_refused() -> None:
    with pytest.raises(DetectionError, match="characters"):
        await Detectors().look(["x" * (MAX_CHARACTERS + 1)], SHIPPED)

    def everywhere(text: str) -> Any:
        return [("sign", at, at + 1) for at in range(len(text))]

    with pytest.raises(DetectionError, match="more than"):
        await Detectors({"own": everywhere}).look(["x" * (MAX_FINDINGS + 1)], ["own"])


def test_a_name_without_a_detector_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'nothing'.*personal, secrets"):
        Detectors.named(["secrets", "nothing"])


def test_nothing_is_found_in_what_documents_show() -> None:
    """False alarms on the labelled lines; those there are stand in docs/explanation/detection.md."""
    wrong = [
        (line.text, found)
        for line in lines(draws=1)
        if not line.kinds and any(found := Detectors().look_now(line.text, SHIPPED).values())
    ]
    assert wrong == []


def test_what_it_finds_lies_within_the_text() -> None:
    for line in lines(seed=1, draws=1):
        for found in Detectors().look_now({"a": line.text}, SHIPPED).values():
            for each in found:
                assert line.text[each.start : each.end] == each.raw != ""


@pytest.mark.slow
def test_nothing_is_found_in_code_that_holds_no_secret() -> None:
    """Lines that nobody wrote for this: the standard library's."""
    folder = Path(os.__file__).parent
    count = 0
    for path in folder.glob("*.py"):
        for line in path.read_text("utf-8", errors="replace").splitlines():
            count += 1
            assert list(find_secrets(line)) == [], (path.name, line)
    assert count > 100_000


@pytest.mark.parametrize(
    "text",
    [
        "PassWord: 7hx!kQ2p-Zt9",
        "my \u017fecret: 7hx!kQ2p-Zt9",
        "nothing of it",
        "Contraseña = 7hx!kQ2p-Zt9",
    ],
)
def test_what_is_skipped_without_its_words_is_what_re2_would_skip(text: str) -> None:
    """The quick look at a text comes to what the expression comes to, in any letter case."""
    hinted = secrets._HINTED.search(text) is not None

    assert secrets._is_hinted(text, text.lower()) == hinted
    assert any(found.kind == "password" for found in find_secrets(text)) == hinted
