"""Answers by passkey: what is signed is what was shown, once, by who may, and nobody is late."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING

import anyio
import orjson
import pytest
from authenticator import Authenticator
from console_desk import ORIGIN, PEOPLE, console_desk, enrolled, token_in
from console_votes import answer, finish, form_of

from wardline.testing import asking

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from console_desk import Desk


async def test_a_yes_is_a_vote_that_the_passkey_signed(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("approver") as browser:
        said = await answer(browser, request, device, note="checked")

    assert said.json() == {"next": f"/requests/{request.id}"}
    approvals = desk.broker.parts.approvals
    voted = await approvals.get(request.id)
    assert (voted.status, voted.votes[0].approver, voted.votes[0].note) == (
        "approved",
        "olga",
        "checked",
    )
    assert (await approvals.verify(request.id, request.call.binding)).approvers == ("olga",)


async def test_a_no_needs_words(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("approver") as browser:
        silent = await answer(browser, request, device, verdict="deny", note="  ")
        said = await answer(browser, request, device, verdict="deny", note="not today")

    assert silent.status_code == 400
    assert said.status_code == 200
    assert (await desk.broker.parts.approvals.get(request.id)).status == "denied"


async def test_a_session_alone_answers_nothing(desk: Desk) -> None:
    """A thief of a session has no passkey."""
    await enrolled(desk, "olga")
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("approver") as browser:
        said = await answer(browser, request, Authenticator())

    assert said.status_code == 403
    assert (await desk.broker.parts.approvals.get(request.id)).votes == ()


async def test_a_passkey_of_another_person_is_not_theirs(desk: Desk) -> None:
    await enrolled(desk, "olga")
    other = await enrolled(desk, "bea")
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("approver") as browser:
        assert (await answer(browser, request, other)).status_code == 403


async def test_what_was_signed_for_one_answer_is_no_other(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    one, other = [await desk.asked(delete_case={"number": n}) for n in "12"]
    async with desk.browser("approver") as browser:
        form = {**await form_of(browser, one), "verdict": "deny", "note": "no"}
        begun = await browser.post(f"/requests/{one.id}/vote/begin", data=form)
        signed = begun.json()
        elsewhere = await finish(browser, other, device, await form_of(browser, other), signed)
        assert (await desk.broker.parts.approvals.get(other.id)).votes == ()
        assert elsewhere.status_code == 403
        said = orjson.loads(base64.b64decode(signed["state"]))
        state = base64.b64encode(orjson.dumps({**said, "verdict": "approve"})).decode()
        turned = await finish(browser, one, device, form, {**signed, "state": state})
        assert turned.status_code == 403
        assert (await desk.broker.parts.approvals.get(one.id)).votes == ()


async def test_a_stale_page_is_told_and_votes_nothing(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("approver") as browser:
        form = await form_of(browser, request)
        await PEOPLE[1].answer(desk.broker, request.id, "deny")
        begun = await browser.post(
            f"/requests/{request.id}/vote/begin",
            data=form,
            headers={"accept": "application/json"},
        )

    assert begun.status_code == 409
    assert "Denied by bea" in begun.json()["detail"]
    assert device is not None
    assert len((await desk.broker.parts.approvals.get(request.id)).votes) == 1


async def test_a_page_of_another_text_is_told(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("approver") as browser:
        said = await answer(browser, request, device, shown="sha256:" + "0" * 64)

    assert said.status_code == 409
    assert (await desk.broker.parts.approvals.get(request.id)).votes == ()


async def test_who_comes_second_is_told_who_was_first(desk: Desk) -> None:
    """Both have begun; both passkeys sign; one vote decides, the other is not cast."""
    devices = {name: await enrolled(desk, name) for name in ("olga", "bea")}
    request = await desk.asked(delete_case={"number": "1"})
    answers: list[httpx.Response] = []
    async with desk.browser("approver", "olga") as olga, desk.browser("approver", "bea") as bea:
        begun = {}
        for name, browser in (("olga", olga), ("bea", bea)):
            form = await form_of(browser, request)
            said = await browser.post(f"/requests/{request.id}/vote/begin", data=form)
            begun[name] = browser, form, said.json()

        async def end(name: str) -> None:
            browser, form, said = begun[name]
            answers.append(await finish(browser, request, devices[name], form, said))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end, "olga")
            tasks.start_soon(end, "bea")

    assert sorted(each.status_code for each in answers) == [200, 409]
    late = next(each for each in answers if each.status_code == 409)
    assert "Too late, and nothing was cast" in late.json()["detail"]
    assert len((await desk.broker.parts.approvals.get(request.id)).votes) == 1


async def test_of_two_that_are_needed_both_count_and_nobody_twice(tmp_path: Path) -> None:
    async with console_desk(tmp_path, decide=lambda _: asking("operators", quorum=2)) as desk:
        olga, bea = await enrolled(desk, "olga"), await enrolled(desk, "bea")
        request = await desk.asked(delete_case={"number": "1"})
        async with desk.browser("approver", "olga") as browser:
            assert (await answer(browser, request, olga)).status_code == 200
            page = (await browser.get(f"/requests/{request.id}")).text
            assert "You have answered. It waits for others." in page
            again = await browser.post(
                f"/requests/{request.id}/vote/begin",
                data={
                    "token": token_in(page),
                    "shown": request.shown_digest,
                    "verdict": "approve",
                },
            )
            assert again.status_code == 409
        async with desk.browser("approver", "bea") as browser:
            assert (await answer(browser, request, bea)).status_code == 200

        assert (await desk.broker.parts.approvals.get(request.id)).status == "approved"


async def test_a_passkey_is_added_once_in_the_session_of_its_link(desk: Desk) -> None:
    device = Authenticator()
    async with desk.browser() as browser:
        secret = await desk.sign_ins.link("olga", "approver", enrols=True)
        entered = await browser.post("/sign-in", data={"link": secret})
        assert entered.headers["location"] == "/me"
        form = {"token": token_in((await browser.get("/me")).text)}
        begun = (await browser.post("/me/enrol/begin", data=form)).json()
        made = json.dumps(device.create(begun["options"], ORIGIN))
        fields = {**form, "state": begun["state"], "credential": made}
        assert (await browser.post("/me/enrol/finish", data=fields)).status_code == 200
        assert (await browser.post("/me/enrol/finish", data=fields)).status_code == 403
        assert (await browser.post("/me/enrol/begin", data=form)).status_code == 403

        request = await desk.asked(delete_case={"number": "1"})
        assert (await answer(browser, request, device)).status_code == 200


async def test_a_session_without_that_right_adds_none(desk: Desk) -> None:
    async with desk.browser("approver") as browser:
        form = {"token": token_in((await browser.get("/me")).text)}

        assert (await browser.post("/me/enrol/begin", data=form)).status_code == 403


async def test_a_passkey_signs_its_owner_in(desk: Desk) -> None:
    device = await enrolled(desk, "bea")
    async with desk.browser() as browser:
        begun = (await browser.post("/sign-in/begin", data={"x": ""})).json()
        credential = json.dumps(device.get(begun["options"], ORIGIN))
        fields = {"state": begun["state"], "credential": credential}
        done = await browser.post("/sign-in/finish", data=fields)
        assert done.json() == {"next": "/inbox"}
        assert "bea" in (await browser.get("/inbox")).text
        again = await browser.post("/sign-in/finish", data=fields)
        assert again.status_code == 403  # a challenge counts once


@pytest.mark.parametrize("fault", ["site", "challenge", "revoked", "nonsense"])
async def test_what_no_passkey_of_this_site_signed_signs_nobody_in(
    desk: Desk, fault: str
) -> None:
    device = await enrolled(desk, "bea")
    async with desk.browser() as browser:
        begun = (await browser.post("/sign-in/begin", data={"x": ""})).json()
        options = begun["options"]
        if fault == "challenge":
            options = {**options, "challenge": "AAAA"}
        if fault == "revoked":
            for each in await desk.broker.parts.approvals.passkeys():
                await desk.broker.parts.approvals.revoke_passkey(each.passkey.credential)
        origin = "https://evil.example" if fault == "site" else ORIGIN
        credential = "[]" if fault == "nonsense" else json.dumps(device.get(options, origin))
        fields = {"state": begun["state"], "credential": credential}

        assert (await browser.post("/sign-in/finish", data=fields)).status_code == 403
        assert (await browser.get("/inbox")).status_code == 303


async def test_an_edit_is_signed_with_what_it_makes_of_the_call(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("approver") as browser:
        page = (await browser.get(f"/requests/{request.id}")).text
        wrong = await answer(browser, request, device, verdict="edit", arguments="{")
        said = await answer(
            browser,
            request,
            device,
            verdict="edit",
            arguments='{"number": "2"}',
            note="2, not 1",
        )

    offered = html.unescape(page.partition('name="arguments"')[2].partition(">")[2])
    assert json.loads(offered.partition("</textarea>")[0]) == {"number": "1"}
    assert wrong.status_code == 403
    assert said.status_code == 200
    voted = await desk.broker.parts.approvals.get(request.id)
    assert (voted.status, voted.votes[0].arguments) == ("edited", '{"number":"2"}')
