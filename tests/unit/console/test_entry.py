"""What the console refuses before it looks anything up, and what every answer carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from console_desk import ORIGIN, console_desk, token_in

from permissions.approval.passkeys import Site
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from console_desk import Desk

PAGES = [
    "/",
    "/inbox",
    "/requests/x",
    "/runs",
    "/runs/x",
    "/calls/x",
    "/policies",
    "/doubts",
    "/events",
    "/me",
]


async def test_every_answer_is_held_to_this_site(desk: Desk) -> None:
    async with desk.browser("operator", "oskar") as browser:
        for path in ("/inbox", "/nothing", "/static/console.js", "/sign-in"):
            headers = (await browser.get(path)).headers
            policy = headers["content-security-policy"]

            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost", "127.0.0.1:8181", "localhost:81"]
)
async def test_another_name_for_this_machine_reaches_nothing(desk: Desk, host: str) -> None:
    async with desk.browser("operator", "oskar") as browser:
        answer = await browser.get("/inbox", headers={"host": host})

    assert answer.status_code == 403
    assert "Inbox" not in answer.text


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:8182", "https://localhost:8181"],
)
async def test_a_form_of_another_site_does_nothing(desk: Desk, origin: str) -> None:
    async with desk.browser("operator", "oskar") as browser:
        token = token_in((await browser.get("/policies")).text)
        answer = await browser.post(
            "/sign-out", data={"token": token}, headers={"origin": origin}
        )
        assert answer.status_code == 403
        assert (await browser.get("/inbox")).status_code == 200


async def test_a_form_without_an_origin_does_nothing(desk: Desk) -> None:
    async with desk.browser("operator", "oskar") as browser:
        token = token_in((await browser.get("/policies")).text)
        del browser.headers["origin"]

        assert (await browser.post("/sign-out", data={"token": token})).status_code == 403


@pytest.mark.parametrize("token", ["", "0" * 64, "\u00e9", None])
async def test_a_form_needs_the_token_of_its_session(desk: Desk, token: str | None) -> None:
    async with desk.browser("operator", "oskar") as browser:
        fields = {} if token is None else {"token": token}
        assert (await browser.post("/sign-out", data=fields)).status_code in (403, 415)
        assert (await browser.get("/inbox")).status_code == 200


async def test_a_token_of_another_session_is_none(desk: Desk) -> None:
    async with (
        desk.browser("operator", "oskar") as one,
        desk.browser("operator", "eve") as other,
    ):
        token = token_in((await other.get("/policies")).text)

        assert (await one.post("/sign-out", data={"token": token})).status_code == 403


@pytest.mark.parametrize("path", PAGES)
async def test_nobody_reads_anything_without_a_session(desk: Desk, path: str) -> None:
    async with desk.browser() as browser:
        answer = await browser.get(path)

    assert answer.status_code in (303, 404)
    if answer.status_code == 303:
        assert answer.headers["location"] == "/sign-in"


async def test_a_link_in_a_mail_is_opened_again_by_a_page_of_ours(desk: Desk) -> None:
    """`SameSite=Strict` keeps the cookie back when another site opens a page."""
    async with desk.browser() as browser:
        answer = await browser.get("/inbox", headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0"' in answer.text
    assert "Inbox" not in answer.text


async def test_the_cookie_is_for_this_browser_alone(desk: Desk) -> None:
    async with desk.browser() as browser:
        secret = await desk.sign_ins.link("olga", "approver")
        answer = await browser.post("/sign-in", data={"link": secret})

    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert "secure" not in said  # over the loopback in the clear


async def test_the_cookie_of_a_site_is_held_to_tls(tmp_path: Path) -> None:
    async with console_desk(tmp_path, origin="https://approve.example") as desk:
        async with desk.browser() as browser:
            secret = await desk.sign_ins.link("olga", "approver")
            answer = await browser.post("/sign-in", data={"link": secret})

    said = answer.headers["set-cookie"]
    assert said.startswith("__Host-wardline-console=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(said.split("; "))
    assert answer.headers["strict-transport-security"]


async def test_opening_a_link_does_not_use_it(desk: Desk) -> None:
    async with desk.browser() as browser:
        secret = await desk.sign_ins.link("olga", "approver")
        page = await browser.get(f"/sign-in?link={secret}")
        assert "Sign in" in page.text
        assert (await browser.post("/sign-in", data={"link": secret})).status_code == 303
        assert (await browser.post("/sign-in", data={"link": secret})).status_code == 403


async def test_a_stolen_cookie_in_another_browser_ends_the_session(desk: Desk) -> None:
    async with desk.browser("approver") as browser, desk.browser(agent="thief") as thief:
        thief.cookies = browser.cookies
        assert (await thief.get("/inbox")).status_code == 303
        assert (await browser.get("/inbox")).status_code == 303


async def test_signing_out_ends_the_session_also_for_a_copy_of_the_cookie(desk: Desk) -> None:
    async with desk.browser("approver") as browser:
        copied = dict(browser.cookies)
        token = token_in((await browser.get("/inbox")).text)
        assert (await browser.post("/sign-out", data={"token": token})).status_code == 303
        browser.cookies.update(copied)

        assert (await browser.get("/inbox")).status_code == 303


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("approver", "/inbox", 200),
        ("approver", "/runs", 403),
        ("approver", "/calls/call-1", 403),
        ("approver", "/policies", 403),
        ("responder", "/inbox", 200),
        ("responder", "/runs", 200),
        ("responder", "/policies", 403),
        ("operator", "/inbox", 200),
        ("operator", "/runs", 200),
        ("operator", "/policies", 200),
    ],
)
async def test_a_role_opens_its_pages_and_no_others(
    desk: Desk, role: str, path: str, status: int
) -> None:
    async with desk.browser(role) as browser:  # type: ignore[arg-type]  # a role
        assert (await browser.get(path)).status_code == status


async def test_a_large_form_is_not_read(desk: Desk) -> None:
    async with desk.browser("operator", "oskar") as browser:
        token = token_in((await browser.get("/policies")).text)
        form = {"token": token, "arguments": "x" * 300_000}

        assert (await browser.post("/policies", data=form)).status_code == 413


@pytest.mark.parametrize(
    "url",
    [
        "http://approve.example",
        "ftp://x",
        "https://",
        "https://x/y",
        "https://u@x",
        "x",
        "https://x:y",
    ],
)
def test_an_address_that_is_no_safe_site_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"service\.url"):
        Site.of(url)


def test_an_origin_is_as_browsers_write_it() -> None:
    assert Site.of("https://approve.example:443/").rp_id == "approve.example"
    assert Site.of(ORIGIN).origin == ORIGIN
