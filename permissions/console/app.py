"""The console as one ASGI application, to be mounted into the daemon's or served alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from permissions.console import (
    doubts,
    events,
    explorer,
    grants,
    inbox,
    operations,
    passkeys,
    policies,
    question,
    remember,
    runs,
    sign_in,
    stops,
    together,
    vote,
)
from permissions.console.challenges import Challenges
from permissions.console.pages import Pages
from permissions.console.protection import Protection
from permissions.console.roles import may
from permissions.console.visit import Visit, cookie_name
from permissions.errors import BrokerError
from permissions.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import anyio
    from starlette.requests import Request
    from starlette.responses import Response

    from permissions.console.parts import ConsoleParts
    from permissions.console.roles import Right

_log = get_logger("console.app")
_SECRET = 100
"""Characters of a cookie that are looked at."""


_STATIC = (("permissions.console", "static"), ("permissions.export", "style"))
"""Folders of what is the same for everybody; the explorer has the same colours."""


class Console:
    """The pages over one broker.

    Args:
        parts: what they show.
        stopping: set when streams have to end; None when nobody stops them.
    """

    def __init__(self, parts: ConsoleParts, stopping: anyio.Event | None = None) -> None:
        self._parts = parts
        self._pages = Pages(parts.prefix)
        self._challenges = Challenges(parts.clock)
        self._explorer = explorer.Explorer()
        self._inbox = inbox.Inbox(parts.broker.parts.approvals)
        self._changes = events.Changes(parts, stopping)

    def app(self) -> Starlette:
        """The application."""
        box, read, send = self._inbox, ["GET"], ["POST"]
        pages, kept = self._page, self._challenges
        return Starlette(
            routes=[
                Route("/", pages("", None, _start), methods=read),
                Route("/sign-in", self._open(sign_in.ask), methods=read),
                Route("/sign-in", self._open(sign_in.enter), methods=send),
                Route(
                    "/sign-in/begin",
                    self._open(partial(passkeys.sign_in_begin, challenges=kept)),
                    methods=send,
                ),
                Route(
                    "/sign-in/finish",
                    self._open(partial(passkeys.sign_in_finish, challenges=kept)),
                    methods=send,
                ),
                Route("/sign-out", pages("", None, sign_in.leave), methods=send),
                Route(
                    "/events", pages("", None, partial(events.events, changes=self._changes))
                ),
                Route("/inbox", pages("inbox", "inbox", partial(inbox.show, inbox=box))),
                Route(
                    "/requests/{request}",
                    pages("inbox", "inbox", partial(question.show, inbox=box)),
                    methods=read,
                ),
                Route(
                    "/requests/{request}/vote/begin",
                    pages("", "vote", vote.begin),
                    methods=send,
                ),
                Route(
                    "/requests/{request}/vote/finish",
                    pages("", "vote", vote.finish),
                    methods=send,
                ),
                Route(
                    "/requests/{request}/remember",
                    pages("", "vote", remember.finish),
                    methods=send,
                ),
                Route("/grants", pages("grants", "grants", grants.show), methods=read),
                Route(
                    "/grants/{grant}/revoke", pages("", "grants", grants.revoke), methods=send
                ),
                Route("/doubts", pages("doubts", "doubts", doubts.show), methods=read),
                Route("/doubts/{call}/begin", pages("", "vote", doubts.begin), methods=send),
                Route("/doubts/{call}/finish", pages("", "vote", doubts.finish), methods=send),
                Route("/me", pages("me", None, passkeys.me), methods=read),
                Route(
                    "/me/enrol/begin",
                    pages("", "vote", partial(passkeys.enrol_begin, challenges=kept)),
                    methods=send,
                ),
                Route(
                    "/me/enrol/finish",
                    pages("", "vote", partial(passkeys.enrol_finish, challenges=kept)),
                    methods=send,
                ),
                Route("/runs", pages("runs", "runs", runs.listed), methods=read),
                Route(
                    "/runs/{run}/requests",
                    pages("inbox", "inbox", partial(question.of_run, inbox=box)),
                ),
                Route(
                    "/runs/{run}/requests/vote/begin",
                    pages("", "vote", together.begin),
                    methods=send,
                ),
                Route(
                    "/runs/{run}/requests/vote/finish",
                    pages("", "vote", together.finish),
                    methods=send,
                ),
                Route("/runs/{run}/explorer", pages("runs", "runs", self._explorer.show)),
                Route("/runs/{run}", pages("runs", "runs", partial(runs.one, inbox=box))),
                Route("/calls/{call}", pages("runs", "runs", runs.call), methods=read),
                Route("/stop", pages("stop", "stop", stops.show), methods=read),
                Route("/stop", pages("stop", "stop", stops.stop), methods=send),
                Route("/stop/{stop}", pages("stop", "stop", stops.one), methods=read),
                Route("/stop/{stop}/resume", pages("stop", "stop", stops.resume), methods=send),
                Route("/policies", pages("policies", "policies", policies.show), methods=read),
                Route(
                    "/policies", pages("policies", "policies", policies.try_call), methods=send
                ),
                Route(
                    "/operations", pages("operations", "runs", operations.show), methods=read
                ),
                Mount("/static", StaticFiles(packages=[*_STATIC])),
            ],
            middleware=[Middleware(Protection, parts=self._parts)],
            exception_handlers={
                HTTPException: self._told,
                BrokerError: self._told,
                Exception: self._told,
            },
        )

    def _page(
        self, current: str, right: Right | None, show: Callable[[Visit], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A page for those who are signed in and have the right."""

        async def endpoint(request: Request) -> Response:
            visit = await self._visit(request, current)
            if visit.session is None:
                return _not_signed_in(visit)
            if right is not None and not may(visit.role, right):
                return visit.told(
                    "Not for your role",
                    f"You are signed in as {visit.role}, and this is for others.",
                    status=403,
                )
            return await show(visit)

        return endpoint

    def _open(
        self, show: Callable[[Visit], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A page for everybody."""

        async def endpoint(request: Request) -> Response:
            return await show(await self._visit(request, ""))

        return endpoint

    async def _visit(self, request: Request, current: str) -> Visit:
        visit = Visit(request, self._parts, self._pages, None, "", current)
        secret = request.cookies.get(cookie_name(self._parts), "")[:_SECRET]
        if secret:
            visit.session = await self._parts.sign_ins.known(secret, visit.browser)
            visit.secret = secret
        return visit

    async def _told(self, request: Request, err: Exception) -> Response:
        """A page that says what went wrong, and no more than that."""
        visit = Visit(request, self._parts, self._pages, None, "", "")
        if isinstance(err, HTTPException):
            detail = "There is no such page." if err.status_code == 404 else err.detail
            return visit.told("That did not work", detail, status=err.status_code)
        _log.error("page_failed", fault=type(err).__name__, exc_info=err)
        said = "The broker met an error of its own; its log says which. Nothing was changed."
        return visit.told("That did not work", said, status=503)


async def _start(visit: Visit) -> Response:
    return visit.to("/inbox")


def _not_signed_in(visit: Visit) -> Response:
    """To the page to sign in, or once more to this one.

    A link in a mail opens a page without the cookie, which is for this site's own links
    (`SameSite=Strict`). Opened again by a page of ours it has it; reading changes nothing.
    """
    request = visit.request
    if (
        "application/json" in request.headers.get("accept", "")
        or "hx-request" in request.headers
    ):
        return visit.told("Signed out", "Your session is over. Sign in again.", status=401)
    is_from_elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    if request.method == "GET" and is_from_elsewhere:
        return visit.page("again.html")
    return RedirectResponse(f"{visit.parts.prefix}/sign-in", 303)
