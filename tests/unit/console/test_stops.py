"""The Stop page: what is stopped, its proof, and how it is lifted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import pytest
from console_desk import PEOPLE, TOOLS, console_desk, token_in

from permissions.broker.stopping import RUNNING_ON_SECONDS
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall
from wardline import tool
from wardline.testing import permitted

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from console_desk import Desk


async def send(browser: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    page = (await browser.get("/stop")).text
    return await browser.post(path, data={"token": token_in(page), **fields})


def in_force(desk: Desk) -> list[str]:
    return [str(each.scope) for each in desk.broker.parts.stops.in_force()]


async def test_a_responder_stops_an_agent_sees_the_proof_and_lifts_it(desk: Desk) -> None:
    asked = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("responder", "rita") as browser:
        assert "Nothing is stopped" in (await browser.get("/stop")).text
        said = await send(browser, "/stop", scope="agent", name="clerk", reason="<b>odd</b>")
        assert said.status_code == 303, said.text
        proof = (await browser.get(said.headers["location"])).text
        listed = (await browser.get("/stop")).text
        async with open_session(desk.broker, user="alice", agent="clerk") as session:
            denied = await desk.broker.call(session, ToolCall("read_mail", {"number": "7"}))
        lifted = await send(browser, f"{said.headers['location']}/resume", reason="a test")
        after = (await browser.get(lifted.headers["location"])).text
        over = await send(browser, f"{said.headers['location']}/resume", reason="once more")

    assert "the agent clerk" in proof
    assert "Nothing of it was running" in proof
    assert asked.id in proof  # it was withdrawn
    assert "&lt;b&gt;odd&lt;/b&gt;" in proof
    assert "<b>odd" not in proof + listed
    assert "rita (responder, in the console)" in listed
    assert "stop.in_force" in str(denied)
    assert "a test" in after
    assert "Lift it now" not in after
    assert (over.status_code, in_force(desk)) == (409, [])


@pytest.mark.slow
async def test_the_proof_names_what_runs_on_first(tmp_path: Path) -> None:
    begun, go_on, asleep = threading.Event(), threading.Event(), anyio.Event()

    @tool(effect="write", impact="low")
    def slow() -> str:
        """Waits in its caller's own process."""
        begun.set()
        go_on.wait(60)
        return "done"

    @tool(effect="write", impact="low")
    async def dozing() -> str:
        """Waits, and can be cancelled."""
        asleep.set()
        await anyio.sleep(60)
        return "done"

    async with (
        console_desk(
            tmp_path, decide=lambda _: permitted(), tools=(*TOOLS, slow, dozing)
        ) as desk,
        desk.browser("operator", "omar") as browser,
        open_session(desk.broker, user="alice", agent="clerk") as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(desk.broker.call, session, ToolCall("slow", {}))
        group.start_soon(desk.broker.call, session, ToolCall("dozing", {}))
        await anyio.to_thread.run_sync(begun.wait, 60)
        await asleep.wait()
        with anyio.fail_after(60 + RUNNING_ON_SECONDS):
            said = await send(browser, "/stop", scope="agent", name="clerk", reason="odd")
        page = (await browser.get(said.headers["location"])).text
        listed = (await browser.get("/stop")).text
        go_on.set()

    assert "could not be stopped" in page
    assert page.index("Runs on") < page.index("Ended") < page.index("dozing")
    assert "nothing ends a sync function" in page
    assert "1 runs on" in listed


async def test_everything_is_asked_once_more_and_lifted_by_two(desk: Desk) -> None:
    async with desk.browser("operator", "olga") as browser:
        first = await send(browser, "/stop", scope="all", reason="key leaked")
        assert first.status_code == 200
        assert "Stop everything?" in first.text
        assert in_force(desk) == []
        said = await send(browser, "/stop", scope="all", reason="key leaked", sure="everything")
        here = said.headers["location"]
        assert in_force(desk) == ["everything"]
        await send(browser, f"{here}/resume", reason="key changed")
        waits = (await browser.get(here)).text
        (request,) = await desk.broker.parts.approvals.listed(pending_only=True)
        read = await browser.get(f"/requests/{request.id}")
        assert in_force(desk) == ["everything"]
        await PEOPLE[1].answer(desk.broker, request.id)
        agreed = (await browser.get(here)).text
        await send(browser, f"{here}/resume", reason="key changed")
        lifted = (await browser.get(here)).text

    assert f'href="/requests/{request.id}"' in waits
    assert "Waits for 1 answer" in waits
    assert "Lift it now" not in waits
    assert read.status_code == 200
    assert "Lift it now" in agreed
    assert "who agreed" in lifted
    assert in_force(desk) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scope": "agent", "reason": "x"}, "needs its name"),
        ({"scope": "agent", "name": "a", "reason": " "}, "say why"),
        ({"scope": "agent", "name": "a", "reason": "x" * 501}, "say why"),
        ({"scope": "nothing", "name": "a", "reason": "x"}, "say what to stop"),
        ({"name": "a", "reason": "x"}, "say what to stop"),
    ],
    ids=["no name", "no reason", "long reason", "odd scope", "no scope"],
)
async def test_a_form_that_says_too_little_stops_nothing(
    desk: Desk, fields: dict[str, str], said: str
) -> None:
    async with desk.browser("operator") as browser:
        answer = await send(browser, "/stop", **fields)

    assert (answer.status_code, in_force(desk)) == (400, [])
    assert said in answer.text


async def test_only_a_form_of_this_session_stops_and_an_approver_never(desk: Desk) -> None:
    stop = {"scope": "agent", "name": "clerk", "reason": "odd"}
    async with desk.browser("operator") as browser:
        forged = await browser.post("/stop", data={**stop, "token": "f" * 64})
        elsewhere = await browser.post(
            "/stop", data=stop, headers={"origin": "https://evil.example"}
        )
        unknown = await browser.get("/stop/stop-000")
    async with desk.browser("approver") as browser:
        token = token_in((await browser.get("/inbox")).text)
        not_theirs = await browser.post("/stop", data={**stop, "token": token})
        reading = await browser.get("/stop")

    codes = [each.status_code for each in (forged, elsewhere, not_theirs, reading, unknown)]
    assert codes == [403, 403, 403, 403, 404]
    assert in_force(desk) == []
