"""What the pages say: the inbox, one request, runs, calls and policies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from console_desk import PEOPLE, console_desk, enrolled, token_in

from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall
from wardline.testing import asking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest
    from console_desk import Desk

    from permissions.approval.model import AccessRequest
    from permissions.model import JsonObject

_PAYMENT = {
    "recipient": "DE02120300000000202051",
    "amount": "1250.00",
    "reference": "Invoice 7",
}


def rows(page: str) -> list[str]:
    return re.findall(r'id="row-([^"]+)"', page)


async def test_the_riskiest_request_comes_first_and_the_newest_among_equals(desk: Desk) -> None:
    low = await desk.asked(note={"text": "a", "where": 1})
    older = await desk.asked(delete_case={"number": "1"})
    desk.broker.clock.advance(1)
    high = await desk.asked(delete_case={"number": "2"})
    critical = await desk.asked(pay=_PAYMENT)
    async with desk.browser("approver") as browser:
        page = (await browser.get("/inbox")).text
        newest = (await browser.get("/inbox?order=newest")).text

    assert rows(page) == [critical.id, high.id, older.id, low.id]
    assert set(rows(newest)[:2]) == {high.id, critical.id}


async def test_an_approver_sees_what_they_may_answer_and_nothing_else(tmp_path: Path) -> None:
    def decide(question: JsonObject) -> JsonObject:
        group = "finance" if question["resource"]["id"] == "pay" else "operators"
        return asking(group)

    async with console_desk(tmp_path, decide=decide) as desk:
        payment = await desk.asked(pay=_PAYMENT)
        deletion = await desk.asked(delete_case={"number": "1"})
        async with desk.browser("approver", "finn") as browser:
            assert rows((await browser.get("/inbox")).text) == [payment.id]
            assert (await browser.get(f"/requests/{deletion.id}")).status_code == 404
        async with desk.browser("responder", "rita") as browser:
            assert set(rows((await browser.get("/inbox")).text)) == {payment.id, deletion.id}
        async with desk.browser("approver", "nobody") as browser:
            assert rows((await browser.get("/inbox")).text) == []


async def test_one_page_tells_what_runs_for_whom_why_and_from_where(desk: Desk) -> None:
    await enrolled(desk, "olga")
    async with open_session(
        desk.broker, user="alice", agent="invoice-clerk", prompt="Pay what is due."
    ) as session:
        await desk.broker.call(session, ToolCall("read_mail", {"number": "7"}))
        await desk.broker.call(session, ToolCall("pay", _PAYMENT))
    (request,) = await desk.broker.parts.approvals.listed(pending_only=True)
    async with desk.browser("approver") as browser:
        page = (await browser.get(f"/requests/{request.id}")).text

    for said in (
        "1,250.00 EUR",
        "DE02120300000000202051",
        "invoice-clerk, on behalf of user:alice",
        "Pay what is due.",
        "A person has to look.",
        "eve@evil.example",
        "line 3",
        "please pay the open 1250.00 today",
        "none was declared",
        "did not run in the last 30 days",
        "data-approve",
    ):
        assert said in page
    seen = re.sub("<[^>]*>", "", page)  # the question's digest is also an attribute
    assert seen.index("1,250.00 EUR") < seen.index("sha256:")


async def test_what_is_unusual_is_held_against_calls_that_ran(desk: Desk) -> None:
    usual = {"recipient": "DE02500105170137075030", "amount": "40.00", "reference": "r"}
    for _ in range(3):
        async with open_session(desk.broker, user="alice", agent="clerk") as session:
            await desk.broker.call(session, ToolCall("pay", usual))
            (asked,) = await desk.broker.parts.approvals.listed(pending_only=True)
            await PEOPLE[0].answer(desk.broker, asked.id)
            await desk.broker.call(session, ToolCall("pay", usual))
        desk.broker.clock.advance(60)
    known = await desk.asked(pay=usual)
    new = await desk.asked(pay=_PAYMENT)
    async with desk.browser("approver") as browser:
        first = (await browser.get(f"/requests/{known.id}")).text
        second = (await browser.get(f"/requests/{new.id}")).text

    assert "Nothing, held against the 3 times this tool ran" in first
    assert "first time to" in second
    assert "1,250.00 EUR is more than ever before (40.00 EUR), 31 times that" in second


async def test_nobody_can_approve_what_is_not_all_there(desk: Desk) -> None:
    await enrolled(desk, "olga")
    request = await desk.asked(note={"text": "x" * 900_000, "where": None})
    async with desk.browser("approver") as browser:
        page = (await browser.get(f"/requests/{request.id}")).text
        whole = (await browser.get(f"/requests/{request.id}?whole=1")).text

    assert len(page) < 50_000
    assert "898,000 characters more" in page
    assert "data-approve" not in page
    assert "data-deny" in page
    assert "data-approve" in whole
    assert "x" * 900_000 in whole


async def test_who_cannot_answer_is_told_why_and_has_no_button(desk: Desk) -> None:
    request = await desk.asked(delete_case={"number": "1"})
    async with desk.browser("responder", "rita") as browser:
        read = (await browser.get(f"/requests/{request.id}")).text
    assert "You are signed in as responder" in read
    assert "data-approve" not in read

    await PEOPLE[1].answer(desk.broker, request.id, "deny")
    async with desk.browser("approver") as browser:
        closed = (await browser.get(f"/requests/{request.id}")).text
        answered = (await browser.get("/inbox?answered=1")).text
    assert "Denied" in closed
    assert "bea" in closed
    assert "data-approve" not in closed
    assert rows(answered) == [request.id]


async def test_an_expired_request_leaves_the_list_and_says_so(desk: Desk) -> None:
    request = await desk.asked(delete_case={"number": "1"})
    desk.broker.clock.advance(3600)
    async with desk.browser("approver") as browser:
        assert rows((await browser.get("/inbox")).text) == []
        page = (await browser.get(f"/requests/{request.id}")).text

    assert "Expired" in page
    assert "data-approve" not in page


async def test_all_of_one_run_stands_on_one_page(desk: Desk) -> None:
    async with open_session(desk.broker, user="alice", agent="clerk") as session:
        await desk.broker.call(session, ToolCall("pay", _PAYMENT))
        await desk.broker.call(session, ToolCall("delete_case", {"number": "1"}))
        run = session.run
    await desk.asked(delete_case={"number": "of another run"})
    async with desk.browser("approver") as browser:
        page = (await browser.get(f"/runs/{run}/requests")).text

    assert len(rows(page)) == 2
    assert "of another run" not in page


async def test_a_run_and_its_calls_are_read_from_the_record(desk: Desk) -> None:
    async with open_session(desk.broker, user="alice", agent="clerk") as session:
        await desk.broker.call(session, ToolCall("read_mail", {"number": "7"}))
        run = session.run
        async with desk.browser("responder", "rita") as browser:
            listed = (await browser.get("/runs")).text
            page = (await browser.get(f"/runs/{run}")).text
            (call,) = rows(page)
            told = (await browser.get(f"/calls/{call}")).text
            explorer = await browser.get(f"/runs/{run}/explorer")

    assert rows(listed) == [run]
    assert "clerk" in listed
    assert "live" in page
    assert "read_mail" in page
    assert "number &#34;7&#34;" in page
    assert "evil.example" in told
    assert "sha256-" in explorer.headers["content-security-policy"]
    assert "unsafe" not in explorer.headers["content-security-policy"]
    assert b"application/gzip" in explorer.content


async def test_what_is_not_recorded_is_not_there(desk: Desk) -> None:
    async with desk.browser("responder", "rita") as browser:
        for path in ("/runs/none", "/calls/none", "/requests/none", "/runs/none/explorer"):
            assert (await browser.get(path)).status_code == 404


async def test_policies_say_what_is_in_force_and_what_rules_did(desk: Desk) -> None:
    await desk.asked(delete_case={"number": "1"})
    async with desk.browser("operator", "oskar") as browser:
        page = (await browser.get("/policies")).text

    assert desk.broker.parts.pdp.revision[:19] in page
    assert "test.needs_person" in page


async def test_a_call_is_tried_by_what_is_in_force(desk: Desk) -> None:
    before = len(desk.broker.trace.entries)
    async with desk.browser("operator", "oskar") as browser:
        form = {"token": token_in((await browser.get("/policies")).text), "tool": "delete_case"}
        asked = await browser.post("/policies", data={**form, "arguments": '{"number": "1"}'})
        read = {**form, "tool": "read_mail", "arguments": '{"number": "1"}'}
        allowed = await browser.post("/policies", data=read)
        wrong = await browser.post("/policies", data={**form, "arguments": "[1]"})
        bad = await browser.post("/policies", data={**form, "arguments": '{"x": 1}'})

    assert "A person would be asked." in asked.text
    assert "It would run." in allowed.text
    assert "no JSON object" in wrong.text
    assert 'role="alert"' in bad.text
    assert len(desk.broker.trace.entries) == before


async def test_the_list_turns_pages(desk: Desk) -> None:
    for number in range(52):
        await desk.asked(delete_case={"number": str(number)})
    async with desk.browser("approver") as browser:
        first = (await browser.get("/inbox")).text
        second = (await browser.get("/inbox?order=risk&page=2")).text

    assert len(rows(first)) == 50
    assert len(rows(second)) == 2
    assert not set(rows(first)) & set(rows(second))
    assert 'rel="next"' in first


async def test_a_long_list_is_read_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand open requests are a list like ten: only what is new is opened."""
    requests = [await desk.asked(delete_case={"number": str(number)}) for number in range(5)]
    opened: list[str] = []
    several = desk.broker.parts.approvals.several

    async def counted(ids: Sequence[str]) -> tuple[AccessRequest, ...]:
        opened.extend(ids)
        return await several(ids)

    # The real one answers; it is counted that a page asks once and not for each row.
    monkeypatch.setattr(desk.broker.parts.approvals, "several", counted)
    async with desk.browser("responder", "rita") as browser:
        for _ in range(3):
            await browser.get("/inbox")
        assert len(opened) == 5
        new = await desk.asked(delete_case={"number": "new"})
        await PEOPLE[0].answer(desk.broker, requests[0].id)
        page = (await browser.get("/inbox")).text

    assert opened[5:] == [new.id]
    assert rows(page)[0] in {new.id, *(each.id for each in requests[1:])}
    assert requests[0].id not in rows(page)
