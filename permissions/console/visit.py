"""One question of one browser: who asks, what they sent, and how they are answered."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

from permissions.console.sign_ins import TOTAL_SECONDS, form_token

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from permissions.console.pages import Pages
    from permissions.console.parts import ConsoleParts
    from permissions.console.roles import Role
    from permissions.console.sign_ins import Session

FORM_BYTES = 256 * 1024
FORM_FIELDS = 40
BROWSER = 400
"""Characters of what a browser says of itself that count."""


@dataclass(slots=True)
class Visit:
    """A request to the console; `session` is None on the pages that need none."""

    request: Request
    parts: ConsoleParts
    pages: Pages
    session: Session | None
    secret: str
    current: str

    @property
    def who(self) -> Session:
        """The session, on pages that need one."""
        assert self.session is not None  # noqa: S101 - the route let nobody else in
        return self.session

    @property
    def role(self) -> Role:
        """As what somebody is signed in."""
        return self.who.role

    @property
    def browser(self) -> str:
        """What the browser says of itself."""
        return self.request.headers.get("user-agent", "")[:BROWSER]

    @property
    def here(self) -> str:
        """Its own path and query, within this site."""
        query = self.request.url.query
        return f"{self.request.url.path}{f'?{query}' if query else ''}"

    def asked(self, name: str, default: str = "") -> str:
        """A parameter of the query."""
        return self.request.query_params.get(name, default)

    def number(self, name: str) -> int | None:
        """A parameter of the query that is a number, else None."""
        text = self.asked(name)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None

    def page(self, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page as the answer."""
        token = form_token(self.secret) if self.session else ""
        return HTMLResponse(
            self.pages.html(template, self.session, token, self.current, **values), status
        )

    def told(self, heading: str, said: str, *, status: int) -> Response:
        """A page, or JSON for our own script, that says why not."""
        if "application/json" in self.request.headers.get("accept", ""):
            return JSONResponse({"detail": said}, status)
        return self.page("told.html", status=status, heading=heading, said=said)

    def to(self, path: str) -> RedirectResponse:
        """Sends the browser to another page."""
        return RedirectResponse(f"{self.parts.prefix}{path}", 303)

    async def form(self) -> dict[str, str]:
        """The fields of a form that this session's own page sent.

        Raises:
            HTTPException: it is too large, malformed, or has no token of this session.
        """
        body = b""
        async for part in self.request.stream():
            body += part
            if len(body) > FORM_BYTES:
                raise HTTPException(413, "That is too much for a form.")
        kind = self.request.headers.get("content-type", "").partition(";")[0]
        if kind != "application/x-www-form-urlencoded":
            raise HTTPException(415, "That is no form of this page.")
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=FORM_FIELDS,
            )
        except ValueError:
            raise HTTPException(400, "That is no form of this page.") from None
        found = dict(pairs)
        if self.session is not None and not hmac.compare_digest(
            found.get("token", "").encode(), form_token(self.secret).encode()
        ):
            raise HTTPException(403, "This page is from another session. Load it anew.")
        return found

    def sign_in(self, response: Response, secret: str) -> Response:
        """The same answer, with the session's cookie."""
        response.set_cookie(
            cookie_name(self.parts),
            secret,
            max_age=TOTAL_SECONDS,
            path="/" if self.parts.is_secure else self.parts.prefix or "/",
            secure=self.parts.is_secure,
            httponly=True,
            samesite="strict",
        )
        return response


def cookie_name(parts: ConsoleParts) -> str:
    """What the session's cookie is called; `__Host-` has browsers hold it to its flags."""
    return f"{'__Host-' if parts.is_secure else ''}wardline-console"
