"""What is remembered stands on a page, and whoever made it, or a responder, takes it back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from console_desk import ORIGIN, enrolled, token_in
from console_votes import answer, form_of

if TYPE_CHECKING:
    from console_desk import Desk

PAYMENT = {"recipient": "DE02120300000000202051", "amount": "20.00", "reference": "Invoice 7"}


async def remembered(desk: Desk) -> str:
    """A grant of olga's; its id."""
    device = await enrolled(desk, "olga")
    request = await desk.asked(pay=PAYMENT)
    async with desk.browser("approver") as browser:
        form = await form_of(browser, request)
        asked = (
            await answer(browser, request, device, remember="1", hours="4", uses="2")
        ).json()
        credential = json.dumps(device.get(asked["options"], ORIGIN))
        fields = {"token": form["token"], "state": asked["state"], "credential": credential}
        done = await browser.post(asked["finish"], data=fields)
        assert done.status_code == 200, done.text
    (kept,) = await desk.broker.parts.approvals.grants()
    return kept.id


async def test_its_maker_sees_it_and_takes_it_back(desk: Desk) -> None:
    name = await remembered(desk)
    async with desk.browser("approver") as browser:
        page = (await browser.get("/grants")).text
        assert "recipient is &#34;DE02120300000000202051&#34;" in page
        assert "0 of 2 uses" in page
        done = await browser.post(f"/grants/{name}/revoke", data={"token": token_in(page)})
        again = await browser.post(f"/grants/{name}/revoke", data={"token": token_in(page)})
        after = (await browser.get("/grants")).text

    assert (done.status_code, again.status_code) == (303, 303)  # a stale page does no harm
    assert "taken back" in after
    assert "/revoke" not in after
    (kept,) = await desk.broker.parts.approvals.grants()
    assert kept.revoked_at is not None


async def test_another_approver_neither_sees_it_nor_takes_it_back(desk: Desk) -> None:
    name = await remembered(desk)
    async with desk.browser("approver", "bea") as browser:
        page = (await browser.get("/grants")).text
        form = token_in((await browser.get("/inbox")).text) or token_in(page)
        refused = await browser.post(f"/grants/{name}/revoke", data={"token": form})

    assert name not in page
    assert refused.status_code == 404
    (kept,) = await desk.broker.parts.approvals.grants()
    assert kept.revoked_at is None


async def test_a_responder_takes_back_anybodys(desk: Desk) -> None:
    name = await remembered(desk)
    async with desk.browser("responder", "rita") as browser:
        page = (await browser.get("/grants")).text
        assert "said by <b>olga</b>" in page
        done = await browser.post(f"/grants/{name}/revoke", data={"token": token_in(page)})
        without = await browser.post(f"/grants/{name}/revoke", data={"token": "x"})

    assert (done.status_code, without.status_code) == (303, 403)
    (kept,) = await desk.broker.parts.approvals.grants()
    assert kept.revoked_at is not None
