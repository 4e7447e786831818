"""The explorer's file: what is in it, and that no recorded text reaches the HTML parser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hostile import TEXTS, write_hostile_log, write_page_of
from logs import KEK, SIGNER, write_log

from permissions.export.opened import Entries
from permissions.export.page import SHOWN_BYTES, write_page
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path


class Elements(HTMLParser):
    """Every element of a page, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.policy = ""
        self.code: dict[str, str] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        said = dict(attrs)
        if said.get("http-equiv") == "Content-Security-Policy":
            self.policy = said["content"] or ""
        self._inside = tag if tag in ("style", "script") and not said.get("type") else ""

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser's own signature
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.code[self._inside] = self.code.get(self._inside, "") + data


def block(page: str, name: str) -> Any:
    found = re.search(f'<script type="application/gzip" id="{name}">([^<]*)</script>', page)
    assert found is not None
    return orjson.loads(gzip.decompress(base64.b64decode(found[1], validate=True)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile_log(folder / "log")
    write_page_of(folder / "log", folder / "page.html")
    return (folder / "page.html").read_text()


def test_a_recorded_text_adds_no_element(hostile: str, tmp_path: Path) -> None:
    write_log(tmp_path / "log")
    write_page_of(tmp_path / "log", tmp_path / "page.html")
    harmless = Elements((tmp_path / "page.html").read_text())

    assert Elements(hostile).tags == harmless.tags
    assert not [text for text in TEXTS if text in hostile]


def test_the_policy_allows_this_script_and_style_and_nothing_else(hostile: str) -> None:
    page = Elements(hostile)
    hashes = {
        kind: base64.b64encode(hashlib.sha256(page.code[kind].encode()).digest()).decode()
        for kind in ("script", "style")
    }

    assert page.policy.split("; ") == [
        "default-src 'none'",
        f"script-src 'sha256-{hashes['script']}'",
        f"style-src 'sha256-{hashes['style']}'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]


def test_the_page_names_no_address_and_no_handler(hostile: str) -> None:
    page = Elements(hostile)

    assert "http:" not in page.code["script"].replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page.code["script"] + page.code["style"]
    assert "url(" not in page.code["style"]
    assert not [
        name
        for name, value in page.attributes
        if name.startswith("on")
        or (name in ("src", "href") and not (value or "").startswith("#"))
    ]
    assert "innerHTML" not in page.code["script"]


def test_entries_calls_and_verdicts_are_those_of_the_log(tmp_path: Path) -> None:
    write_log(tmp_path, runs=["run-a", "run-b"], calls=2)
    write_page_of(tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    entries = list(read_entries(tmp_path))

    summary, first = block(page, "summary"), block(page, "entries-0")

    assert [each["leaf"] for each in first] == [each.leaf.hex() for each in entries]
    assert summary["report"]["integrity"]["verdict"] == "signed"
    assert [run["id"] for run in summary["runs"]] == ["run-a", "run-b"]
    assert [call[0] for call in summary["calls"]] == [
        "run-a-0",
        "run-a-1",
        "run-b-0",
        "run-b-1",
    ]
    assert [call[1] for call in summary["calls"]] == [0, 0, 1, 1]


def test_contents_stay_sealed_unless_they_are_asked_for(tmp_path: Path) -> None:
    write_log(tmp_path)
    write_page_of(tmp_path, tmp_path / "page.html", opened=False)
    page = (tmp_path / "page.html").read_text()

    contents = [each["contents"] for each in block(page, "entries-0")]

    assert {state for each in contents for found in each.values() for state in found} == {
        "digest",
        "problem",
    }
    assert [call[14] for call in block(page, "summary")["calls"]] == [None, None]


def test_what_is_left_out_of_a_long_content_is_said(hostile: str) -> None:
    long = next(each for each in block(hostile, "entries-0") if each["call"] == "call-10")

    found = long["contents"]["arguments"]

    assert len(found["text"]) == SHOWN_BYTES
    assert found["left_out"] == found["size"] - SHOWN_BYTES > 0


def test_a_log_that_breaks_is_shown_up_to_there_and_says_so(tmp_path: Path) -> None:
    write_log(tmp_path)
    segment = next(tmp_path.glob("*.jsonl"))
    raw = segment.read_bytes()
    segment.write_bytes(raw.replace(b'"status":"ok"', b'"status":  1 ', 1))
    report = verify_trace(tmp_path, key=SIGNER.public)
    entries = Entries(read_entries(tmp_path), VaultReader(tmp_path, KEK))

    with (tmp_path / "page.html").open("wb") as file:
        count = write_page(file, entries, report, about={})
    summary = block((tmp_path / "page.html").read_text(), "summary")

    assert 0 < count < 12
    assert summary["report"]["integrity"]["verdict"] == "failed"
    assert "malformed" in summary["about"]["broken"]


def test_a_run_alone_comes_with_the_entries_of_the_log_itself(tmp_path: Path) -> None:
    write_log(tmp_path, runs=["run-a", "run-b"], calls=1)
    entries = Entries(read_entries(tmp_path), None, runs=["run-b"])

    runs = {each.recorded.run for each in entries}

    assert runs == {None, "run-b"}
