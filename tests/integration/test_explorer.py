"""The explorer in a real browser: hostile records stay text, and it works by keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser import Page, browser
from hostile import TEXTS, write_hostile_log, write_page_of
from logs import write_log, write_long_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("explorer")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile_log(folder / "log")
    write_page_of(folder / "log", folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_log(folder / "log", runs=["run-a", "run-b"], calls=40)
    write_page_of(folder / "log", folder / "page.html")
    return folder / "page.html"


def chosen(page: Page) -> str:
    return str(page.js("document.querySelector('.row[aria-selected=true]')?.id ?? ''"))


def test_hostile_records_stay_text(page: Page, hostile: Path) -> None:
    page.messages.clear()
    page.open(hostile)
    page.press("Home")
    for number in range(len(TEXTS)):
        page.until(
            f"document.querySelector('#detail .head code')?.textContent === 'call-{number}'"
        )
        page.js("document.querySelectorAll('#detail details').forEach(d => { d.open = true; })")
        page.press("j")
    for view in "234":
        page.press(view)

    assert page.js("window.fired === undefined && ({}).fired === undefined")
    assert (
        page.js("document.querySelectorAll('img, iframe, object, embed, form[action]').length")
        == 0
    )
    assert page.js("document.querySelectorAll('script:not([type])').length") == 1
    assert page.messages == []  # no error, no dialog, and nothing the policy had to stop
    assert page.requests == [hostile.as_uri()]


def test_letters_that_hide_or_turn_text_round_are_written_out(
    page: Page, hostile: Path
) -> None:
    page.open(hostile, "#call=call-6")
    page.until("document.querySelector('#detail .head code')?.textContent === 'call-6'")
    seen = page.js("document.body.innerText")

    assert "U+202E" in seen
    assert "U+200B" in seen
    assert not {"\u202e", "\u2066", "\u200b", "\x1b"} & set(seen)


@pytest.mark.slow
def test_a_policy_stops_what_the_page_itself_would_be_made_to_do(
    page: Page, hostile: Path
) -> None:
    """The second boundary: even code in the page could make no markup and no request."""
    page.open(hostile)

    assert page.js(
        "(() => { try { document.body.innerHTML = '<b>'; return false; }"
        " catch (err) { return err instanceof TypeError; } })()"
    )
    assert page.js("fetch('data:,x').then(() => false, () => true)")
    page.messages.clear()


@pytest.mark.slow
def test_it_works_by_keyboard(page: Page, runs: Path) -> None:
    page.open(runs)
    page.press("Home")
    first = chosen(page)
    page.press("ArrowDown")
    page.press("j")
    moved = chosen(page)
    page.press("End")
    last = chosen(page)
    page.press("/")
    page.write("run:run-b")
    found = page.js("document.getElementById('found').textContent")
    page.press("Escape")
    page.press("Home")
    page.until("document.querySelector('#detail .head')?.innerText.includes('run-b-0')")
    page.press("Enter")

    assert (first, moved, last) == ("row-0", "row-2", "row-79")
    assert found == "40 of 80"
    assert page.js("document.activeElement.id") == "detail"


@pytest.mark.slow
def test_enter_looks_inside_of_contents(page: Page, hostile: Path) -> None:
    page.open(hostile)
    page.press("/")
    page.write("lookalike")
    page.press("Enter")
    page.until("document.getElementById('found').textContent.endsWith(' inside')")

    assert page.js("document.getElementById('found').textContent") == "1 of 12 inside"


@pytest.mark.slow
def test_two_runs_are_compared(page: Page, runs: Path) -> None:
    page.open(runs)
    page.press("3")

    assert page.js("document.querySelectorAll('.versus tbody tr').length") == 40
    assert page.js("document.querySelectorAll('.versus .differs, .versus .alone').length") == 0


@pytest.mark.slow
def test_each_row_has_a_badge_that_needs_no_colour(page: Page, runs: Path) -> None:
    page.open(runs)

    assert page.js(
        "[...document.querySelectorAll('.row .badge')].every(b => b.textContent === '✓'"
        " && b.getAttribute('aria-label') === 'signed')"
    )


@pytest.mark.slow
def test_it_prints(page: Page, runs: Path) -> None:
    page.open(runs)

    assert page.printed().count(b"/Type /Page\n") > 1


@pytest.mark.slow
def test_a_hundred_thousand_entries_are_there_at_once(page: Page, tmp_path: Path) -> None:
    write_long_log(tmp_path / "log", calls=25_000)
    write_page_of(tmp_path / "log", tmp_path / "page.html")
    page.open(tmp_path / "page.html")

    rows = page.js("document.querySelectorAll('.row').length")
    page.press("End")
    page.until("document.querySelector('#detail .steps') !== null")

    assert page.js("document.getElementById('found').textContent") == "25,000 calls"
    assert rows < 100  # only what is in view exists
