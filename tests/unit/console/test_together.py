"""One touch of a passkey for all that a run waits for: each vote proves itself, and nothing unseen."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

import second_votes
from console_desk import ORIGIN, enrolled, token_in
from console_votes import answer

from permissions.errors import SigningError
from permissions.signing import dsse

if TYPE_CHECKING:
    import httpx
    from authenticator import Authenticator
    from console_desk import Desk

    from permissions.approval.model import AccessRequest
    from permissions.signing.passkey import Passkey


async def waiting(desk: Desk, count: int = 3) -> list[AccessRequest]:
    """Requests of one run."""
    calls = [{"delete_case": {"number": str(number)}} for number in range(count)]
    return await desk.asked_in_one_run(*calls)


async def form_of(browser: httpx.AsyncClient, run: str) -> dict[str, str]:
    """The fields of the form for all."""
    page = (await browser.get(f"/runs/{run}/requests")).text
    form = page.partition('id="together"')[2]
    shown = html.unescape(form.partition('name="shown" value="')[2].partition('"')[0])
    return {"token": token_in(page), "shown": shown, "note": "all seen"}


async def send(
    browser: httpx.AsyncClient, run: str, step: str, **fields: str
) -> httpx.Response:
    address = f"/runs/{run}/requests/vote/{step}"
    return await browser.post(address, data=fields, headers={"accept": "application/json"})


async def begun_and_signed(
    browser: httpx.AsyncClient, run: str, device: Authenticator
) -> dict[str, str]:
    form = await form_of(browser, run)
    begun = (await send(browser, run, "begin", **form)).json()
    credential = json.dumps(device.get(begun["options"], ORIGIN))
    return {**form, "state": begun["state"], "credential": credential}


async def test_one_touch_answers_all_and_each_vote_proves_itself(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    requests = await waiting(desk)
    run = requests[0].call.run
    approvals = desk.broker.parts.approvals
    async with desk.browser("approver") as browser:
        signed = await begun_and_signed(browser, run, device)
        done = await send(browser, run, "finish", **signed)

    assert done.json() == {"next": f"/runs/{run}/requests"}
    olga = (await approvals.approvers()).get("olga")
    for asked in requests:
        voted = await approvals.get(asked.id)
        assert (voted.status, voted.votes[0].note) == ("approved", "all seen")
        assert (await approvals.verify(asked.id, asked.call.binding)).approvers == ("olga",)
        envelope = json.loads(voted.votes[0].envelope)
        assert second_votes.signed_by(str(olga.passkeys[0]), envelope)
        # Out of its list it proves nothing, and no list proves another answer.
        together = envelope["signatures"][0]["webauthn"]["together"]
        assert len(together) == 3
        for other in (together[:2], [*together, together[0]], ["sha256:00"] * 3, []):
            envelope["signatures"][0]["webauthn"]["together"] = other
            assert not second_votes.signed_by(str(olga.passkeys[0]), envelope)
            parsed = dsse.Envelope.parse(json.dumps(envelope).encode())
            assert not _is_signed(parsed, olga.passkeys[0])


def _is_signed(envelope: dsse.Envelope, key: Passkey) -> bool:
    try:
        dsse.signed_by(envelope, [key])
    except SigningError:
        return False
    return True


async def test_an_answer_that_was_not_signed_is_not_among_them(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    requests = await waiting(desk, 2)
    other = (await waiting(desk, 2))[0]
    run = requests[0].call.run
    async with desk.browser("approver") as browser:
        signed = await begun_and_signed(browser, run, device)
        elsewhere = await begun_and_signed(browser, other.call.run, device)
        both = json.dumps(json.loads(signed["state"]) + json.loads(elsewhere["state"]))
        refused = await send(browser, run, "finish", **{**signed, "state": both})
        thief = await send(
            browser, run, "finish", **{**signed, "credential": elsewhere["credential"]}
        )

    assert (refused.status_code, thief.status_code) == (403, 403)
    for each in (*requests, other):
        assert (await desk.broker.parts.approvals.get(each.id)).status == "pending"


async def test_a_page_that_is_stale_signs_nothing(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    requests = await waiting(desk, 2)
    run = requests[0].call.run
    async with desk.browser("approver") as browser:
        form = await form_of(browser, run)
        swapped = form["shown"].replace(requests[0].shown_digest, requests[1].shown_digest)
        other_text = await send(browser, run, "begin", **{**form, "shown": swapped})
        await answer(browser, requests[0], device, verdict="deny", note="no")
        late = await send(browser, run, "begin", **form)

    assert (other_text.status_code, late.status_code) == (409, 409)
    assert "another text" in other_text.json()["detail"]
    assert "closed" in late.json()["detail"]
    assert (await desk.broker.parts.approvals.get(requests[1].id)).status == "pending"


async def test_what_came_too_late_is_told_and_the_rest_counts(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    requests = await waiting(desk, 2)
    run = requests[0].call.run
    async with desk.browser("approver") as browser:
        signed = await begun_and_signed(browser, run, device)
        await answer(browser, requests[0], device, verdict="deny", note="no")
        done = await send(browser, run, "finish", **signed)

    assert done.status_code == 409
    assert "1 of 2 were cast" in done.json()["detail"]
    assert requests[0].id in done.json()["detail"]
    statuses = [(await desk.broker.parts.approvals.get(each.id)).status for each in requests]
    assert statuses == ["denied", "approved"]


async def test_requests_of_another_run_are_not_answered_here(desk: Desk) -> None:
    await enrolled(desk, "olga")
    here, there = await waiting(desk, 2), await waiting(desk, 2)
    async with desk.browser("approver") as browser:
        form = await form_of(browser, there[0].call.run)
        refused = await send(browser, here[0].call.run, "begin", **form)
        nothing = await send(
            browser, here[0].call.run, "begin", token=form["token"], shown="", note=""
        )

    assert refused.status_code == 409
    assert "another run" in refused.json()["detail"]
    assert nothing.status_code == 409
