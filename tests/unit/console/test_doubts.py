"""A call whose end nobody knows is resolved on its page, by a passkey, as the command does it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from console_desk import ORIGIN, TOOLS, console_desk, enrolled, token_in

from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from wardline.testing import Person, asking, permitted

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from authenticator import Authenticator
    from console_desk import Desk

    from permissions.model import JsonObject

CALL = ToolCall("delete_case", {"number": "4711"}, key="k")


async def again(desk: Desk) -> Any:
    """What the agent gets that asks for the call again."""
    async with open_session(desk.broker, user="alice", agent="clerk", run="run-1") as session:
        found = await desk.broker.call(session, CALL)
        if isinstance(found, Denial) and found.access_request is not None:
            await Person("olga").answer(desk.broker, found.access_request)
            found = await desk.broker.call(session, CALL)
    return found


async def resolve(
    browser: httpx.AsyncClient, device: Authenticator, call: str, found: str, note: str = ""
) -> httpx.Response:
    """As the page's script does; the answer of whichever step refused, or the last."""
    page = (await browser.get("/doubts")).text
    form = {"token": token_in(page), "found": found, "note": note}
    json_only = {"accept": "application/json"}
    begun = await browser.post(f"/doubts/{call}/begin", data=form, headers=json_only)
    if begun.status_code != 200:
        return begun
    credential = json.dumps(device.get(begun.json()["options"], ORIGIN))
    signed = {**form, "state": begun.json()["state"], "credential": credential}
    return await browser.post(f"/doubts/{call}/finish", data=signed, headers=json_only)


async def test_a_passkey_resolves_it_once_and_the_record_proves_who(desk: Desk, tmp_path: Path):
    call = await desk.died(CALL)
    device = await enrolled(desk, "olga")
    assert (await again(desk)).code == "call.in_doubt"
    async with desk.browser("approver") as browser:
        page = (await browser.get("/doubts")).text
        assert "delete_case" in page
        assert "4711" in page
        assert call in page
        done = await resolve(browser, device, call, "ran", "It is gone, I looked.")
        assert done.status_code == 200, done.text
        late = await resolve(browser, device, call, "run-again")
        assert late.status_code == 409
        page = (await browser.get("/doubts")).text
        assert "It ran, says olga" in page
        assert "data-passkey" not in page
    told = await again(desk)
    assert told.code == "call.resolved"
    assert "It is gone, I looked." in str(told)

    from logs import KEK

    report = verify_trace(tmp_path / "trace", vault=VaultReader(tmp_path / "trace", KEK))
    assert report.is_intact
    assert not report.completeness.findings, report.completeness.findings


async def test_it_runs_again_only_after_the_last_run_of_it_is_known_to_have_died(desk: Desk):
    call = await desk.died(CALL)
    device = await enrolled(desk, "olga")
    async with desk.browser("approver") as browser:
        assert (await resolve(browser, device, call, "run-again")).status_code == 200
        second = await desk.died(CALL)
        stale = await resolve(browser, device, call, "run-again")
        assert stale.status_code == 409
        assert second in stale.json()["detail"]
        assert (await resolve(browser, device, second, "did-not-run")).status_code == 200
    assert isinstance(await again(desk), Completed)


@pytest.mark.slow
async def test_who_may_see_and_answer(tmp_path: Path):
    def decide(question: JsonObject) -> JsonObject:
        approved = question["context"]["approval"] is not None
        return permitted() if approved else asking("operators")

    async with console_desk(tmp_path, decide=decide, tools=TOOLS) as desk:
        call = await desk.died(CALL)
        device = await enrolled(desk, "finn")
        async with desk.browser("approver", "finn") as browser:  # of finance
            assert call not in (await browser.get("/doubts")).text
            page = (await browser.get("/me")).text
            form = {"token": token_in(page), "found": "ran"}
            refused = await browser.post(f"/doubts/{call}/begin", data=form)
            assert refused.status_code == 404
        async with desk.browser("responder", "rita") as browser:
            page = (await browser.get("/doubts")).text
            assert f"/calls/{call}" in page
            assert "data-passkey" not in page
            form = {"token": token_in(page), "found": "ran"}
            refused = await browser.post(f"/doubts/{call}/begin", data=form)
            assert refused.status_code == 403
        async with desk.browser() as browser:
            assert (await browser.get("/doubts")).status_code == 303
        assert device is not None


@pytest.mark.slow
@pytest.mark.parametrize("part", ["token", "found", "state", "other call", "other person"])
async def test_an_answer_that_is_not_what_was_signed_does_not_count(desk: Desk, part: str):
    call = await desk.died(CALL)
    olga, bea = await enrolled(desk, "olga"), await enrolled(desk, "bea")
    json_only = {"accept": "application/json"}
    async with desk.browser("approver") as browser:
        page = (await browser.get("/doubts")).text
        form = {"token": token_in(page), "found": "did-not-run", "note": ""}
        if part == "found":
            wrong = {**form, "found": "approve"}
            assert (await browser.post(f"/doubts/{call}/begin", data=wrong)).status_code == 400
            return
        begun = await browser.post(f"/doubts/{call}/begin", data=form, headers=json_only)
        asked = begun.json()
        device = bea if part == "other person" else olga
        signed = {
            **form,
            "state": asked["state"],
            "credential": json.dumps(device.get(asked["options"], ORIGIN)),
        }
        if part == "token":
            signed["token"] = "x"
        if part == "state":
            other = {**form, "found": "run-again"}
            begun = await browser.post(f"/doubts/{call}/begin", data=other, headers=json_only)
            signed["state"] = begun.json()["state"]
        name = "call-0" if part == "other call" else call
        refused = await browser.post(f"/doubts/{name}/finish", data=signed, headers=json_only)
        assert refused.status_code == (404 if part == "other call" else 403)
    assert (await again(desk)).code == "call.in_doubt"


async def test_hostile_arguments_are_text_and_long_ones_are_not_answered_here(desk: Desk):
    hostile = ToolCall(
        "delete_case", {"number": "<script>1</script>\u202e" + "x" * 5000}, key="h"
    )
    await desk.died(hostile, "run-2")
    async with desk.browser("approver") as browser:
        page = (await browser.get("/doubts")).text
    assert "<script>1" not in page
    assert "\u202e" not in page
    assert "wardline call resolve" in page
    assert "data-passkey" not in page


@pytest.mark.slow
async def test_of_two_who_answer_at_the_same_moment_one_counts(desk: Desk) -> None:
    call = await desk.died(CALL)
    json_only = {"accept": "application/json"}
    forms: dict[str, dict[str, str]] = {}
    answers: dict[str, httpx.Response] = {}
    async with desk.browser("approver") as olga, desk.browser("approver", "bea") as bea:
        browsers = {"olga": (olga, "ran"), "bea": (bea, "run-again")}
        for name, (browser, found) in browsers.items():
            device = await enrolled(desk, name)
            page = (await browser.get("/doubts")).text
            form = {"token": token_in(page), "found": found, "note": ""}
            asked = await browser.post(f"/doubts/{call}/begin", data=form, headers=json_only)
            signed = json.dumps(device.get(asked.json()["options"], ORIGIN))
            forms[name] = {**form, "state": asked.json()["state"], "credential": signed}

        async def finish(name: str) -> None:
            browser, _ = browsers[name]
            answers[name] = await browser.post(
                f"/doubts/{call}/finish", data=forms[name], headers=json_only
            )

        async with anyio.create_task_group() as tasks:
            for name in browsers:
                tasks.start_soon(finish, name)
        assert sorted(each.status_code for each in answers.values()) == [200, 409]
        first = next(name for name, each in answers.items() if each.status_code == 200)
        assert f"says {first}" in (await olga.get("/doubts")).text
