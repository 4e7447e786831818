"""The console in a real Chromium, with a passkey device plugged in."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from browser import Page, browser
from console_desk import FOR_TWO, PEOPLE, Served, served_desk
from hostile import TEXTS

from permissions.errors import RequestClosedError
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.approval.model import AccessRequest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAYMENT = {"recipient": "DE02120300000000202051", "amount": "1250.00", "reference": "Invoice 7"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with served_desk(tmp_path) as desk:
        yield desk


@pytest.fixture
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def sign_in(page: Page, served: Served, role: str, name: str) -> None:
    """By a link, as a person does."""
    page.go(served.link(role, name, enrols=role == "approver"))  # type: ignore[arg-type]  # a role
    page.js("document.querySelector('form button').click()")
    page.until("location.pathname === '/inbox' || location.pathname === '/me'")
    page.until("document.readyState === 'complete'")


def with_passkey(page: Page, served: Served, name: str = "olga") -> None:
    """Signs in and adds a passkey."""
    page.authenticator()
    sign_in(page, served, "approver", name)
    page.js("document.querySelector('form[data-passkey=enrol] button').click()")
    page.until("location.pathname === '/inbox' && document.readyState === 'complete'")


def text(page: Page) -> str:
    return str(page.js("document.body.innerText"))


def test_somebody_approves_with_their_passkey_by_keyboard_alone(
    page: Page, served: Served
) -> None:
    with_passkey(page, served)
    request = served.asked(pay=PAYMENT)
    page.until(
        "document.querySelectorAll('[data-rows] > li').length === 1"
    )  # it came by itself
    page.press("j")
    page.press("Enter")
    page.until(f"location.pathname === '/requests/{request.id}'")
    page.until(
        "document.readyState === 'complete' && !!document.querySelector('[data-approve]')"
    )
    page.press("a")
    assert page.js("document.activeElement.matches('[data-approve]')")
    page.press("Enter")
    page.until("(document.body?.innerText ?? '').includes('Approved')")

    voted = served.now(request)
    assert voted.status == "approved"
    assert [vote.approver for vote in voted.votes] == ["olga"]
    assert page.messages == []
    assert {
        each.partition("/")[2].partition("/")[2].partition("/")[0] for each in page.requests
    } == {served.url.removeprefix("http://")}


def test_one_touch_answers_all_of_a_run(page: Page, served: Served) -> None:
    with_passkey(page, served)
    requests = served.asked_in_one_run(
        {"delete_case": {"number": "1"}}, {"delete_case": {"number": "2"}}, {"pay": PAYMENT}
    )
    page.go(f"{served.url}/runs/{requests[0].call.run}/requests")
    page.js("document.querySelector('[data-together]').click()")
    page.until("(document.body?.innerText ?? '').includes('It waits for nobody')")

    assert [served.now(each).status for each in requests] == ["approved"] * 3
    assert page.messages == []


def test_a_yes_that_is_remembered_is_signed_twice(page: Page, served: Served) -> None:
    with_passkey(page, served)
    request = served.asked(pay=PAYMENT)
    page.go(f"{served.url}/requests/{request.id}")
    page.js("document.querySelector('[name=remember]').checked = true")
    with page.left():
        page.js("document.querySelector('[data-approve]').click()")
    kept = served.portal.call(served.desk.broker.parts.approvals.grants)

    assert "Approved" in text(page)
    assert [(each.uses, each.used) for each in kept] == [(5, 0)]
    assert page.messages == []


def test_what_was_not_remembered_is_signed_again_without_a_second_vote(
    page: Page, served: Served
) -> None:
    with_passkey(page, served)
    request = served.asked(pay=PAYMENT)
    page.go(f"{served.url}/requests/{request.id}")
    page.js(
        "{ const real = window.fetch; let failed = false;"
        " window.fetch = (to, how) => String(to).endsWith('/remember') && !failed"
        " ? (failed = true, Promise.reject(new TypeError('gone'))) : real(to, how); }"
    )
    page.js("document.querySelector('[name=remember]').checked = true")
    page.js("document.querySelector('[data-approve]').click()")
    page.until("!!document.querySelector('#live [data-again]')")
    assert served.now(request).status == "approved"
    with page.left():
        page.js("document.querySelector('#live [data-again]').click()")
    page.go(f"{served.url}/grants")

    assert "0 of 5 uses" in text(page)
    assert [vote.approver for vote in served.now(request).votes] == ["olga"]


def test_a_responder_stops_an_agent_by_the_form(page: Page, served: Served) -> None:
    sign_in(page, served, "responder", "rita")
    page.press("g")
    page.press("s")
    page.until("location.pathname === '/stop' && document.readyState === 'complete'")
    page.js("document.querySelector('[value=agent]').checked = true")
    page.js("document.querySelector('#name').value = 'clerk'")
    page.js("document.querySelector('#reason').value = 'odd'")
    page.js("document.querySelector('button.stop').click()")
    page.until("location.pathname.startsWith('/stop/') && document.readyState === 'complete'")

    assert "Nothing of it was running" in text(page)
    assert page.messages == []


def test_a_no_takes_words(page: Page, served: Served) -> None:
    with_passkey(page, served)
    request = served.asked(delete_case={"number": "1"})
    page.go(f"{served.url}/requests/{request.id}")
    page.js("document.querySelector('[data-deny]').click()")
    page.until("!document.querySelector('[data-problem]').hidden")
    assert "Say why" in text(page)
    assert served.now(request).votes == ()
    page.write("ask the customer first")  # it is where one writes already
    with page.left():
        page.js("document.querySelector('[data-deny]').click()")

    assert "Denied" in text(page)
    assert served.now(request).votes[0].note == "ask the customer first"
    assert "ask the customer first" in text(page)


def test_a_passkey_signs_in_again(page: Page, served: Served) -> None:
    with_passkey(page, served)
    page.js("document.querySelector('.who button').click()")
    page.until("location.pathname === '/sign-in' && document.readyState === 'complete'")
    page.js("document.querySelector('form[data-passkey=sign-in] button').click()")
    page.until("location.pathname === '/inbox' && document.readyState === 'complete'")

    assert "olga" in text(page)


def test_a_page_that_is_open_says_who_was_first(page: Page, served: Served) -> None:
    with_passkey(page, served)
    request = served.asked(delete_case={"number": "1"})
    page.go(f"{served.url}/requests/{request.id}")
    page.js("document.querySelector('textarea').value = 'half a thought'")
    served.portal.call(PEOPLE[1].answer, served.desk.broker, request.id, "deny")
    page.until("!document.querySelector('[data-approve]')")

    assert "Denied" in text(page)
    assert "bea" in text(page)


def test_a_page_that_heard_nothing_is_told_and_votes_nothing(
    page: Page, served: Served
) -> None:
    with_passkey(page, served)
    request = served.asked(delete_case={"number": "1"})
    page.send("Network.setBlockedURLs", urls=["*/events"])
    page.go(f"{served.url}/requests/{request.id}")
    served.portal.call(PEOPLE[1].answer, served.desk.broker, request.id, "deny")
    page.js("document.querySelector('[data-approve]').click()")
    page.until("(document.body?.innerText ?? '').includes('Too late, and nothing was cast')")

    assert [vote.approver for vote in served.now(request).votes] == ["bea"]


def test_what_somebody_did_stays_when_the_page_changes(page: Page, served: Served) -> None:
    """Words, what is open, where the focus is and the caret in it."""
    with_passkey(page, served)
    request = served.asked(pay={**PAYMENT, "reference": FOR_TWO})
    page.go(f"{served.url}/requests/{request.id}")
    page.js("document.querySelector('details.edit').open = true")
    page.js("document.querySelector('[name=arguments]').value = '{}'")
    page.press("d")
    page.write("half a thought")
    page.js("document.activeElement.setSelectionRange(4, 4)")
    served.portal.call(PEOPLE[1].answer, served.desk.broker, request.id, "approve")
    page.until("document.querySelector('#answer').innerText.includes('bea')")
    page.write(",")

    assert page.js("document.querySelector('[name=note]').value") == "half, a thought"
    assert page.js("document.querySelector('[name=arguments]').value") == "{}"
    assert page.js("document.querySelector('details.edit').open")


def test_a_page_where_nothing_changed_is_left_alone(page: Page, served: Served) -> None:
    """The record grows with each call of anybody: a page may not be made anew for that."""
    with_passkey(page, served)
    request = served.asked(pay=PAYMENT)
    page.go(f"{served.url}/requests/{request.id}")
    page.js("document.querySelector('[name=remember]').checked = true")
    page.press("a")
    page.js(
        "window.answers = 0;"
        "document.addEventListener('htmx:beforeSwap', () => { window.answers += 1; })"
    )
    served.asked(delete_case={"number": "2"})
    page.until("window.answers > 0")

    assert page.js("document.querySelector('[name=remember]').checked")
    assert page.js("document.activeElement.matches('[data-approve]')")


def test_one_touch_signs_nothing_that_the_page_does_not_show(
    page: Page, served: Served
) -> None:
    """What the run asks for after the page was opened is no part of "all of the above"."""
    with_passkey(page, served)
    broker = served.desk.broker
    session_of = open_session(broker, user="alice", agent="clerk")
    with served.portal.wrap_async_context_manager(session_of) as session:

        def asks(number: str) -> AccessRequest:
            call = ToolCall("delete_case", {"number": number})
            denial: Any = served.portal.call(broker.call, session, call)
            return served.portal.call(broker.parts.approvals.get, denial.access_request)

        shown = [asks("1"), asks("2")]
        page.go(f"{served.url}/runs/{session.run}/requests")
        later = asks("3")
        page.until("document.querySelector('#live').innerText.includes('More has come')")
        with page.left():
            page.js("document.querySelector('[data-together]').click()")

    assert [served.now(each).status for each in shown] == ["approved"] * 2
    assert served.now(later).status == "pending"


def test_on_the_page_of_a_run_an_answer_of_somebody_else_is_told(
    page: Page, served: Served
) -> None:
    with_passkey(page, served)
    first, second = served.asked_in_one_run(
        {"delete_case": {"number": "1"}}, {"delete_case": {"number": "2"}}
    )
    page.go(f"{served.url}/runs/{first.call.run}/requests")
    served.portal.call(PEOPLE[1].answer, served.desk.broker, first.id, "deny")
    page.until(f"document.querySelector('#answer-{first.id}').innerText.includes('no part')")

    assert page.js(f"!document.querySelector('#answer-{first.id} button')")
    assert page.js(f"!!document.querySelector('#answer-{second.id} [data-approve]')")


def hostile_arguments(number: int) -> tuple[str, dict[str, object]]:
    """One of fifty calls: each text in a value, a name, deep inside, and with more around it."""
    given = TEXTS[number % len(TEXTS)]
    match number // len(TEXTS):
        case 0:
            return "note", {"text": given, "where": {given[:80]: given}}
        case 1:
            return "pay", {**PAYMENT, "reference": f"\n\n{given}\n"}
        case 2:
            return "delete_case", {"number": f"</pre></dd>{given}"}
        case 3:
            return "note", {"text": "ok", "where": [[{"a": [given]}], given, None, 1, True]}
        case _:
            return "note", {"text": given * 3, "where": "x" * (700_000 if number % 2 else 1)}


@pytest.mark.unmeasured
def test_fifty_hostile_requests_are_text(page: Page, served: Served) -> None:
    async def ask() -> tuple[str, list[str]]:
        broker, prompt = served.desk.broker, TEXTS[0] + TEXTS[1] + TEXTS[6]
        async with open_session(broker, user="alice", agent="clerk", prompt=prompt) as session:
            for number in range(50):
                await broker.call(session, ToolCall(*hostile_arguments(number)))
            run = session.run
        waiting = await broker.parts.approvals.listed(pending_only=True)
        return run, [each.id for each in waiting]

    run, requests = served.portal.call(ask)
    assert len(requests) == 50
    sign_in(page, served, "responder", "rita")
    page.messages.clear()
    page.requests.clear()
    paths = ["/inbox", f"/runs/{run}", f"/runs/{run}/requests", "/runs"]
    paths += [f"/requests/{each}?whole=1" for each in requests]
    for path in paths:
        page.go(f"{served.url}{path}")
        strange = "img, iframe, object, embed, base, link:not([href^='/static/']), script:not([src^='/static/']), style, [style], [onload], [onerror], [onclick], form:not([data-passkey]):not([action='/sign-out']):not([method=dialog])"
        assert page.js(f"document.querySelectorAll({json.dumps(strange)}).length") == 0, path
        assert page.js("window.fired === undefined && ({}).fired === undefined"), path
        seen = text(page)
        assert not {"\u202e", "\u2066", "\u200b", "\x1b", "\x07"} & set(seen), path
    assert page.messages == []
    assert all(each.startswith(f"{served.url}/") for each in page.requests)


def test_it_is_read_without_javascript(page: Page, served: Served) -> None:
    request = served.asked(pay=PAYMENT)
    sign_in(page, served, "responder", "rita")
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.send("Page.navigate", url=f"{served.url}/inbox")
    page.until("document.querySelectorAll('[data-rows] > li').length === 1")
    assert page.js("document.querySelector('[data-rows] a').getAttribute('href')") == (
        f"/requests/{request.id}"
    )
    page.send("Page.navigate", url=f"{served.url}/requests/{request.id}")
    page.until("(document.body?.innerText ?? '').includes('1,250.00 EUR')")


def test_another_site_gets_neither_cookie_nor_frame(page: Page, served: Served) -> None:
    sign_in(page, served, "responder", "rita")
    assert page.js("document.cookie") == ""
    cookie = page.send("Network.getCookies", urls=[served.url])["cookies"][0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")

    page.go("about:blank")
    page.messages.clear()
    page.js(
        "new Promise(resolve => { const frame = document.createElement('iframe');"
        f" frame.onload = resolve; frame.src = '{served.url}/inbox'; document.body.append(frame); }})"
    )
    (frame,) = page.send("Page.getFrameTree")["frameTree"]["childFrames"]
    assert frame["frame"]["unreachableUrl"] == f"{served.url}/inbox"


@pytest.mark.parametrize("width", [390, 1360])
def test_no_page_is_wider_than_the_screen(page: Page, served: Served, width: int) -> None:
    request = served.asked(pay={**PAYMENT, "reference": "x" * 500})
    served.asked(note={"text": "y" * 300 + "\n" + "z" * 3000, "where": {"k" * 60: "v" * 400}})
    died = ToolCall("delete_case", {"number": "x" * 1500}, key="k")
    served.portal.call(served.desk.died, died)
    sign_in(page, served, "operator", "oskar")
    page.size(width, 844)
    for path in (
        "/inbox",
        f"/requests/{request.id}",
        "/runs",
        f"/runs/{request.call.run}",
        f"/runs/{request.call.run}/requests",
        "/policies",
        "/me",
        "/grants",
        "/doubts",
    ):
        page.go(f"{served.url}{path}")
        assert page.js("document.documentElement.scrollWidth <= window.innerWidth"), path


def test_the_explorer_of_a_run_opens_under_its_own_policy(page: Page, served: Served) -> None:
    request = served.asked(pay=PAYMENT)
    sign_in(page, served, "responder", "rita")
    page.messages.clear()
    page.go(f"{served.url}/runs/{request.call.run}/explorer")
    page.until("document.documentElement?.dataset.painted !== undefined")

    assert "pay" in text(page)
    assert page.messages == []


def test_a_call_in_doubt_is_resolved_with_a_touch(page: Page, served: Served) -> None:
    call = ToolCall("delete_case", {"number": "4711"}, key="k")
    served.portal.call(served.desk.died, call)
    with_passkey(page, served)
    page.go(f"{served.url}/doubts")
    page.js("document.querySelector('textarea').value = 'I looked.'")
    with page.left():
        page.js("document.querySelector('button[value=ran]').click()")

    assert "It ran, says olga" in text(page)
    assert "I looked." in text(page)
    assert page.js("document.querySelectorAll('[data-passkey]').length") == 0
    assert page.messages == []


def test_two_who_answer_the_same_page_decide_once(page: Page, served: Served) -> None:
    with_passkey(page, served)
    request = served.asked(delete_case={"number": "1"})
    page.go(f"{served.url}/requests/{request.id}")
    page.js("document.querySelector('[data-approve]').click()")
    with suppress(RequestClosedError):  # whoever comes second is refused
        served.portal.call(PEOPLE[1].answer, served.desk.broker, request.id, "approve")
    page.until(
        "(document.body?.innerText ?? '').includes('Approved') && !document.querySelector('[data-approve]')"
    )

    assert len(served.now(request).votes) == 1
