"""A yes that is remembered: proposed from the call, signed by the passkey, and no wider than shown."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import orjson
import pytest
from console_desk import ORIGIN, console_desk, enrolled
from console_votes import answer, finish, form_of

from permissions.approval.grant import require_genuine
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall
from wardline.testing import asking

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import httpx
    from authenticator import Authenticator
    from console_desk import Desk

    from permissions.approval.model import AccessRequest

PAYMENT = {"recipient": "DE02120300000000202051", "amount": "20.00", "reference": "Invoice 7"}
REMEMBER = {"remember": "1", "hours": "4", "uses": "2"}


async def sign(
    browser: httpx.AsyncClient, request: AccessRequest, device: Authenticator, asked: Any
) -> httpx.Response:
    """Signs what is to be remembered, as the page's script does."""
    credential = json.dumps(device.get(asked["options"], ORIGIN))
    form = await form_of(browser, request)
    return await browser.post(
        f"/requests/{request.id}/remember",
        data={"token": form["token"], "state": asked["state"], "credential": credential},
        headers={"accept": "application/json"},
    )


async def test_calls_like_it_run_without_a_question_as_often_as_was_said(desk: Desk) -> None:
    device = await enrolled(desk, "olga")
    request = await desk.asked(pay=PAYMENT)
    async with desk.browser("approver") as browser:
        page = (await browser.get(f"/requests/{request.id}")).text
        voted = await answer(browser, request, device, **REMEMBER)
        said = await sign(browser, request, device, voted.json())

    assert 'recipient is "DE02120300000000202051"' in page.replace("&#34;", '"')
    assert said.json() == {"next": f"/requests/{request.id}"}
    approvals = desk.broker.parts.approvals
    (kept,) = await approvals.grants()
    grant, approver = require_genuine(kept.envelope, await approvals.approvers())
    assert (approver.id, grant.uses, grant.until - grant.time) == ("olga", 2, 4 * 3_600_000_000)
    async with open_session(desk.broker, user="alice", agent="clerk") as session:
        again = await desk.broker.call(session, ToolCall("pay", PAYMENT))
        other = await desk.broker.call(session, ToolCall("pay", {**PAYMENT, "amount": "21.00"}))
    assert isinstance(again, Completed)
    assert not isinstance(other, Completed)
    assert (await approvals.grants())[0].used == 1


async def test_what_was_not_signed_so_is_not_remembered(desk: Desk) -> None:
    device, other = await enrolled(desk, "olga"), await enrolled(desk, "bea")
    request, elsewhere = [await desk.asked(pay=PAYMENT) for _ in range(2)]
    async with desk.browser("approver") as browser:
        asked = (await answer(browser, request, device, **REMEMBER)).json()
        wide = orjson.loads(base64.b64decode(asked["state"])) | {"uses": 900}
        state = base64.b64encode(orjson.dumps(wide)).decode()
        refused = [
            await sign(browser, request, other, asked),
            await sign(browser, request, device, {**asked, "state": state}),
            await sign(browser, elsewhere, device, asked),
        ]
        vote = {**await form_of(browser, elsewhere), "verdict": "approve"}
        begun = await browser.post(f"/requests/{elsewhere.id}/vote/begin", data=vote)
        crossed = await sign(browser, request, device, begun.json())  # a vote is no grant
        as_vote = await finish(browser, elsewhere, device, vote, asked)

    assert [each.status_code for each in refused] == [403, 403, 409]
    assert (crossed.status_code, as_vote.status_code) == (403, 403)
    assert await desk.broker.parts.approvals.grants() == ()
    assert (await desk.broker.parts.approvals.get(request.id)).status == "approved"


@pytest.mark.parametrize(
    "fields", [{"uses": "0"}, {"uses": "many"}, {"hours": "721"}, {"hours": ""}], ids=str
)
async def test_numbers_that_go_too_far_cast_no_vote(desk: Desk, fields: dict[str, str]) -> None:
    device = await enrolled(desk, "olga")
    request = await desk.asked(pay=PAYMENT)
    async with desk.browser("approver") as browser:
        said = await answer(browser, request, device, **{**REMEMBER, **fields})

    assert said.status_code == 400
    assert (await desk.broker.parts.approvals.get(request.id)).votes == ()


async def test_it_is_not_offered_where_it_would_not_count(tmp_path: Path) -> None:
    def decide(question: Any) -> Any:
        return asking("operators", quorum=2 if question["resource"]["id"] == "pay" else 1)

    async with console_desk(tmp_path, decide=decide) as desk:
        device = await enrolled(desk, "olga")
        two = await desk.asked(pay=PAYMENT)
        nameless = await desk.asked(delete_case={"number": "1"})  # no argument that decides
        async with desk.browser("approver") as browser:
            pages = [
                (await browser.get(f"/requests/{each.id}")).text for each in (two, nameless)
            ]
            said = await answer(browser, nameless, device, **REMEMBER)

    assert not any('name="remember"' in page for page in pages)
    assert said.json() == {"next": f"/requests/{nameless.id}"}
