"""Tells people elsewhere that a request waits: by webhook, mail, or a Slack-compatible message.

A notice says that somebody is waited for, for which tool, why, until when, and where to look. It
never holds an argument, a value that a rule compared, or what the person asked for: those may be
secret, and stand behind the link. It decides nothing, and nothing that answers it is believed.

Sending never holds a call up: notices wait in a queue of bounded length, each is tried a few times,
and one that cannot be delivered is logged. Not protected from: a notice that is lost, or late; whoever may
post to the same address can send one that looks like ours, except to a webhook that checks the signature.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import smtplib
import ssl
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio
import anyio.to_thread

from permissions.approval.stages import turn
from permissions.approval.text import moment, visible
from permissions.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from permissions.approval.model import AccessRequest

_log = get_logger("notices")

MOST_WAITING = 200
"""Notices that wait to be sent; further ones are dropped, and logged."""
TRIES = 4
SECONDS = 10.0
"""How long one try may take."""
SIGNATURE = "Wardline-Signature"
"""Header of a webhook: `t=<seconds>,v1=<hex HMAC-SHA256 of "<seconds>.<body>">`."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent about one request. Texts are fit for a screen (`approval.text`)."""

    request: str
    tool: str
    asked_by: str
    reasons: tuple[str, ...]
    groups: tuple[str, ...]
    expires_at: int
    link: str

    @classmethod
    def of(cls, request: AccessRequest, url: str) -> Notice:
        """Of a request; `url` is where people reach the console, or empty."""
        call = request.call
        behalf = f" for {visible(call.on_behalf_of)}" if call.on_behalf_of else ""
        return cls(
            request=visible(request.id),
            tool=visible(call.tool),
            asked_by=f"{visible(call.subject)}{behalf}",
            reasons=tuple(dict.fromkeys(each.code for each in request.reasons)),
            groups=tuple(map(visible, turn(call.terms, len(request.votes)).stage.approvers)),
            expires_at=request.expires_at,
            link=f"{url.rstrip('/')}/requests/{request.id}" if url else "",
        )

    @property
    def title(self) -> str:
        """In one line."""
        return f"{self.tool} waits for approval ({self.request})"

    @property
    def text(self) -> str:
        """In a few lines."""
        where = self.link or f"wardline request show {self.request}"
        return "\n".join(
            [
                f"{self.tool} waits for a person's approval.",
                f"asked by  {self.asked_by}",
                f"why       {', '.join(self.reasons)}",
                f"who       {', '.join(self.groups)}",
                f"until     {moment(self.expires_at)}",
                f"answer    {where}",
            ]
        )

    def body(self) -> bytes:
        """As JSON, for a webhook."""
        return json.dumps(
            {
                "type": "wardline.request.pending",
                "request": self.request,
                "tool": self.tool,
                "asked_by": self.asked_by,
                "reasons": self.reasons,
                "groups": self.groups,
                "expires_at": self.expires_at,
                "link": self.link,
            }
        ).encode()


class Sender(Protocol):
    """Delivers a notice; blocks."""

    def send(self, notice: Notice) -> None:
        """Delivers one.

        Raises:
            OSError: it was not taken.
        """
        ...


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts the notice as JSON, signed with a secret that both ends know."""

    url: str
    secret: bytes
    clock: Callable[[], int]

    def send(self, notice: Notice) -> None:
        """See `Sender`."""
        body, seconds = notice.body(), self.clock() // 1_000_000
        signed = hmac.digest(self.secret, b"%d." % seconds + body, "sha256").hex()
        _post(self.url, body, {SIGNATURE: f"t={seconds},v1={signed}"})


@dataclass(frozen=True, slots=True)
class Chat:
    """Posts the notice as a message, as Slack, Mattermost and others take it."""

    url: str

    def send(self, notice: Notice) -> None:
        """See `Sender`."""
        escaped = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        _post(self.url, json.dumps({"text": escaped}).encode(), {})


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends the notice by SMTP."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = ""
    trusted: ssl.SSLContext | None = None

    def send(self, notice: Notice) -> None:
        """See `Sender`."""
        message = EmailMessage()
        message["Subject"] = notice.title
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["Message-ID"] = (
            f"<{hashlib.sha256(notice.request.encode()).hexdigest()}@wardline>"
        )
        message.set_content(notice.text)
        trusted = self.trusted or ssl.create_default_context()
        try:
            with (
                smtplib.SMTP_SSL(self.host, self.port, timeout=SECONDS, context=trusted)
                if self.tls == "tls"
                else smtplib.SMTP(self.host, self.port, timeout=SECONDS)
            ) as server:
                if self.tls == "starttls":
                    server.starttls(context=trusted)
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(message)
        except smtplib.SMTPException as err:
            raise OSError(type(err).__name__) from err


class Notices:
    """The queue of what is to be sent, by each of some senders."""

    def __init__(
        self, senders: Sequence[Sender], url: str, *, pause: Callable[[int], float] = math.exp2
    ) -> None:
        self._senders = senders
        self._url = url
        self._pause = pause
        self._waiting: deque[Notice] = deque()
        self._wake = anyio.Event()

    def announce(self, request: AccessRequest) -> None:
        """Has a request told to people; returns at once, and never fails."""
        if not self._senders:
            return
        if len(self._waiting) >= MOST_WAITING:
            _log.warning("notice_dropped", request=request.id, waiting=MOST_WAITING)
            return
        self._waiting.append(Notice.of(request, self._url))
        self._wake.set()

    async def run(self) -> None:
        """Sends what is announced, until cancelled."""
        while True:
            while self._waiting:
                notice = self._waiting.popleft()
                async with anyio.create_task_group() as tasks:
                    for sender in self._senders:
                        tasks.start_soon(self._deliver, sender, notice)
            self._wake = anyio.Event()
            await self._wake.wait()

    async def _deliver(self, sender: Sender, notice: Notice) -> None:
        by = type(sender).__name__.lower()
        for attempt in range(TRIES):
            try:
                await anyio.to_thread.run_sync(sender.send, notice, abandon_on_cancel=True)
            except (OSError, ValueError) as err:
                # An address may hold a token, so an error's text is not for the log.
                _log.info(
                    "notice_not_taken", request=notice.request, by=by, fault=type(err).__name__
                )
                if attempt + 1 < TRIES:
                    await anyio.sleep(self._pause(attempt))
            else:
                _log.info("notice_sent", request=notice.request, by=by)
                return
        _log.warning("notice_lost", request=notice.request, by=by, tries=TRIES)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A notice goes to the address that was configured, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follows none: the answer is an error, as any but a 2xx is."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    if not url.startswith(("http://", "https://")):
        raise ValueError("a notice is posted to an http or https address")
    request = urllib.request.Request(  # noqa: S310 - its scheme was looked at
        url, body, {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with _OPENER.open(request, timeout=SECONDS) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as err:
        with err:  # it holds the connection
            raise OSError(f"the answer is {err.code}") from None
