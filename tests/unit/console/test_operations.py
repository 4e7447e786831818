"""The page Operations: days of calls and answers, and what was gathered over time."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
from console_desk import PEOPLE

from permissions.console.app import Console
from permissions.drills.flood import DRILL
from permissions.drills.result import Result, Step
from permissions.gathered import Gathered, measured
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from pathlib import Path

    from console_desk import Desk

HOSTILE = "<b>gone</b>"


def cells(page: str, section: str) -> list[list[str]]:
    """The text of each row of a section's table."""
    part = page.partition(f'id="{section}"')[2].partition("</section>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", part.partition("<tbody>")[2], re.DOTALL)
    return [
        [
            re.sub(r"<meter.*?</meter>|<[^>]+>", "", cell).strip()
            for cell in row.split("</td>")[:-1]
        ]
        for row in rows
    ]


def gather(folder: Path, revision: str) -> None:
    """Two evaluations, a drill that failed, and a gate."""
    kept = Gathered(folder)
    for at, share in ((1, 0.25), (2, 0.125)):
        figures: Any = {"variant": "V5", "attacks": {"share": share / 100},
                        "rates": {"false_positives": {"share": share}}}  # fmt: skip
        kept.keep(
            measured("evaluation", "said", {"figures": [figures]}, at=at, policies=revision)
        )
    gate = {"parts": [{"part": "evaluation"}, {"part": "probe"}]}
    kept.keep(measured("gate", HOSTILE, gate, at=3, policies=revision))
    played = Result(DRILL, "2026-11-30T12:00:00+00:00", revision)
    played.seconds = {"detect": 2.5, "stop": 1.0, "prove": 3.0}
    played.steps.append(
        Step("stop", "command", "wardline stop", worked=False, seconds=1, said="")
    )
    kept.keep(played.measured(at=4))


async def test_a_day_counts_what_ran_waited_and_was_let_by(desk: Desk) -> None:
    """One read, one that still waits, one that a person let by after half a minute, one refused."""
    broker, olga = desk.broker, PEOPLE[0]
    await desk.asked(note={"text": "a", "where": 1})
    async with open_session(broker, user="alice", agent="clerk") as session:
        await broker.call(session, ToolCall("read_mail", {"number": "1"}))
        for name, verdict in (("pay", "approve"), ("delete_case", "deny")):
            arguments = {"pay": {"recipient": "DE02120300000000202051", "amount": "5.00",
                                 "reference": "x"}, "delete_case": {"number": "7"}}[name]  # fmt: skip
            asked: Any = await broker.call(session, ToolCall(name, arguments))
            desk.broker.clock.advance(30)
            await olga.answer(broker, asked.access_request, verdict)
            await broker.call(session, ToolCall(name, arguments))

    async with desk.browser("responder", "rita") as browser:
        page = await browser.get("/operations")

    assert page.status_code == 200
    days = cells(page.text, "days")
    assert len(days) == 14
    assert days[0] == ["2026-01-01", "6", "1", "3", "1", "1", "30 s"]
    assert days[1] == ["2025-12-31", "", "", "", "", "", ""]
    assert "names no folder of what was gathered" in page.text
    assert page.text.count("not measured") == 3


async def test_what_was_gathered_is_shown_over_time(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    gather(folder, str(desk.broker.parts.pdp.revision))
    app = Console(replace(desk.parts, evidence=folder)).app()
    async with desk.browser("operator", "omar") as signed_in:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport,
            base_url=desk.parts.site.origin,
            headers=signed_in.headers,
            cookies=signed_in.cookies,
        ) as browser:
            page = (await browser.get("/operations")).text
            (next((folder / "gate").iterdir())).write_text("{}")
            broken = (await browser.get("/operations")).text

    assert [row[1:] for row in cells(page, "evaluations")] == [
        ["0.12%", "12.50%", "passed"],
        ["0.25%", "25.00%", "passed"],
    ]
    assert cells(page, "drills")[0][0] == "flood"
    assert cells(page, "drills")[0][2:] == ["2.5 s", "1.0 s", "3.0 s", "did not work"]
    assert "&lt;b&gt;gone" in page
    assert HOSTILE not in page
    assert "<dt>Evidence complete</dt><dd>50.00%</dd>" in page
    assert "remove it and measure gate again" in broken
    assert cells(broken, "drills") == []


async def test_approvers_do_not_read_it(desk: Desk) -> None:
    async with desk.browser("approver") as browser:
        assert (await browser.get("/operations")).status_code == 403
