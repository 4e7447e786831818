"""The terminal UI, driven by its own pilot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hostile import TEXTS, write_hostile_log
from logs import KEK, SIGNER, write_log
from textual.widgets import DataTable, OptionList, Static

from permissions.cli.browser import MOST_LETTERS, PAGE, TraceBrowser, Wanted
from permissions.inquiry.contents import Contents
from permissions.inquiry.questions import Inquiry
from permissions.trace.index import TraceIndex
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from textual.pilot import Pilot

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def opened(log: Path) -> TraceBrowser:
    inquiry = Inquiry(TraceIndex(log, None), Contents(VaultReader(log, KEK)))
    return TraceBrowser(
        inquiry, name="logs.example", verify=lambda: verify_trace(log, key=SIGNER.public)
    )


async def written(write: Callable[..., None], log: Path, **how: Any) -> None:
    """In a thread: it has an event loop of its own."""
    await anyio.to_thread.run_sync(lambda: write(log, **how))


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    with anyio.fail_after(150):  # only a list that never comes is late
        while not holds():
            await pilot.pause(0.02)


def text_of(app: TraceBrowser, where: str) -> str:
    return str(app.query_one(where, Static).render())


def rows(app: TraceBrowser) -> list[list[str]]:
    table = app.query_one("#calls", DataTable)
    return [[str(cell) for cell in table.get_row(key)] for key in table.rows]


async def test_the_timeline_a_call_and_the_proof_of_each_row(tmp_path: Path):
    await written(write_log, tmp_path / "log", runs=["run-a", "run-b"], calls=3)
    app = opened(tmp_path / "log")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: "signed, unanchored" in text_of(app, "#verdict"))

        assert [row[3] for row in rows(app)] == ["signed"] * 6
        assert "run-b-2" in text_of(app, "#detail")
        await pilot.press("down")
        await until(pilot, lambda: "run-b-1" in text_of(app, "#detail"))
        assert "permitted, entry" in text_of(app, "#detail")


@pytest.mark.slow
async def test_it_finds_by_fields_and_words_and_goes_back(tmp_path: Path):
    await written(write_log, tmp_path / "log", runs=["run-a", "run-b"], calls=3)
    app = opened(tmp_path / "log")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: len(rows(app)) == 6)
        await pilot.press("slash", *"run=run-a run-a-1", "enter")
        await until(pilot, lambda: len(rows(app)) == 1)
        assert "run-a-1" in text_of(app, "#detail")
        await pilot.press("escape")
        await until(pilot, lambda: len(rows(app)) == 6)
        await pilot.press("slash", *"nowhere", "enter")
        await until(pilot, lambda: "0 calls of 6 looked at, all" in text_of(app, "#status"))


@pytest.mark.slow
async def test_more_calls_come_at_the_end_of_the_list(tmp_path: Path):
    await written(write_log, tmp_path / "log", calls=PAGE + 5)
    app = opened(tmp_path / "log")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: len(rows(app)) == PAGE)
        await pilot.press("ctrl+end", "end")
        await until(pilot, lambda: len(rows(app)) == PAGE + 5)


@pytest.mark.slow
async def test_hostile_records_stay_text(tmp_path: Path):
    """No markup, no terminal escape, nothing that turns a line round; long texts come in pages."""
    await written(write_hostile_log, tmp_path / "log")
    app = opened(tmp_path / "log")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: len(rows(app)) == len(TEXTS))
        long = False
        for number in reversed(range(len(TEXTS))):
            await until(pilot, lambda: f"call-{number} of" in text_of(app, "#detail"))  # noqa: B023
            said = text_of(app, "#detail")
            assert all(char.isprintable() or char == "\n" for char in said)
            if "m shows more" in said:
                long = True
                assert len(said) < 2 * MOST_LETTERS
                await pilot.press("m")
                await until(pilot, lambda: len(text_of(app, "#detail")) > 2 * MOST_LETTERS)
            await pilot.press("down")
        assert long
        for cell in (cell for row in rows(app) for cell in row):
            assert all(char.isprintable() for char in cell)
        screen = app.export_screenshot()
        assert "\x1b" not in screen
        assert "\u202e" not in screen


@pytest.mark.slow
async def test_it_goes_to_where_a_value_came_from(tmp_path: Path):
    from permissions.cli.browser import Choice

    await written(write_log, tmp_path / "log", calls=2)
    app = opened(tmp_path / "log")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: len(rows(app)) == 2)
        app._choose("Where its arguments came from", [("/a from run-a-0", "run-a-0")])
        await until(pilot, lambda: bool(app.screen.query(OptionList)))
        app.screen.query_one(OptionList).focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: not isinstance(app.screen, Choice))
        assert "run-a-0" in text_of(app, "#detail")
        await pilot.press("escape")
        await until(pilot, lambda: "run-a-1" in text_of(app, "#detail"))


def test_what_is_looked_for_is_said_in_a_line():
    wanted = Wanted.of("tool=pay outcome=denied Acme x=y")

    assert (wanted.fields.tool, wanted.fields.outcome) == ("pay", "denied")
    assert wanted.words == ("acme", "x=y")
