"""Notices against real servers: what arrives, that it is signed, and what happens when nobody takes it."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiosmtpd.controller import Controller
from people import REASON, START, payment
from taking_posts import Server

from permissions.approval.memory import InMemoryRequestStore
from permissions.approval.model import AccessRequest, Background
from permissions.approval.notices import (
    MOST_WAITING,
    SIGNATURE,
    TRIES,
    Chat,
    Mail,
    Notice,
    Notices,
    Webhook,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "https://approve.example.com"
SECRETS = ("980.00", "DE02120300000000202051", "salary list")


def asked(**changes: str) -> AccessRequest:
    return AccessRequest(
        id="req-1",
        call=payment(**changes),
        reasons=(replace_values(),),
        created_at=START,
        expires_at=START + 900_000_000,
        background=Background({"task": "send the salary list"}),
    )


def replace_values() -> Any:
    return REASON.model_copy(update={"values": {"amount": "980.00"}})


@asynccontextmanager
async def sending(notices: Notices) -> AsyncIterator[Notices]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notices.run)
        yield notices
        tasks.cancel_scope.cancel()


async def until(holds: Any) -> None:
    with anyio.fail_after(60):
        while not holds():  # noqa: ASYNC110 - another thread makes it so
            await anyio.sleep(0.01)


async def test_a_webhook_is_signed_and_says_nothing_secret() -> None:
    with Server().running() as server:
        hook = Webhook(server.url, b"shared", lambda: START)
        async with sending(Notices([hook], URL)) as notices:
            notices.announce(asked())
            await until(lambda: server.got)

    headers, body = server.got[0]
    moment, signature = (part[part.index("=") + 1 :] for part in headers[SIGNATURE].split(","))
    made = hmac.new(b"shared", f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signature, made)
    said = json.loads(body)
    assert said["link"] == f"{URL}/requests/req-1"
    assert (said["tool"], said["reasons"]) == ("send_payment", ["impact.needs_person"])
    assert not any(secret in body.decode() for secret in SECRETS)


@pytest.mark.parametrize("status", [503, 302, 401])
async def test_what_is_not_taken_is_tried_again(status: int) -> None:
    with Server(refusals=TRIES - 1, status=status).running() as server:
        notices = Notices([Chat(server.url)], URL, pause=lambda _: 0)
        async with sending(notices):
            notices.announce(asked())
            await until(lambda: server.got)

    text = json.loads(server.got[0][1])["text"]
    assert f"{URL}/requests/req-1" in text
    assert server.refused == TRIES - 1
    assert not any(secret in text for secret in SECRETS)


async def test_one_that_nobody_takes_is_given_up_and_the_next_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Server(refusals=TRIES).running() as server:
        notices = Notices([Chat(server.url)], URL, pause=lambda _: 0)
        async with sending(notices):
            notices.announce(asked())
            notices.announce(replace(asked(), id="req-2"))
            await until(lambda: server.got)

    assert "req-2" in server.got[0][1].decode()
    assert "notice_lost" in caplog.text
    assert server.url not in caplog.text  # it may hold a token


async def test_a_queue_that_nobody_empties_holds_no_call_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notices = Notices([Chat("http://127.0.0.1:9/")], URL)
    for _ in range(MOST_WAITING + 5):
        notices.announce(asked())

    assert caplog.text.count("notice_dropped") == 5


class Inbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.mails.append(envelope)
        return "250 taken"


async def test_a_mail_reaches_a_real_server_with_a_link_and_no_header_of_an_agent() -> None:
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        mail = Mail("127.0.0.1", port, "none", "wardline@corp.example", ("ops@corp.example",))
        async with sending(Notices([mail], URL)) as notices:
            notices.announce(asked(tool="pay\r\nBcc: eve@evil.example"))
            await until(lambda: inbox.mails)
    finally:
        controller.stop()

    (envelope,) = inbox.mails
    assert envelope.rcpt_tos == ["ops@corp.example"]
    content = envelope.content.decode()
    assert "\nBcc:" not in content
    assert f"{URL}/requests/req-1" in content
    assert not any(secret in content for secret in SECRETS)


def test_without_a_console_a_notice_says_the_command() -> None:
    assert "wardline request show req-1" in Notice.of(asked(), "").text


async def test_a_service_announces_each_request_once() -> None:
    from people import APPROVERS, Clock

    from permissions.approval.service import ApprovalService

    told: list[str] = []
    service = ApprovalService(
        InMemoryRequestStore(),
        APPROVERS,
        clock=Clock(),
        new_id=iter(["a", "b", "c"]).__next__,
        announce=lambda request: told.append(request.id),
    )
    await service.submit(payment(), (REASON,))
    await service.submit(payment(), (REASON,))
    await service.submit(payment(arguments="{}"), (REASON,))

    assert told == ["a", "c"]
