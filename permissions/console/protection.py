"""What every answer of the console carries, and which questions are not even read.

A page may load from here and nowhere else, runs no inline script or style, and stands in no frame.
A `Host` that is not ours was reached by a name that somebody else points at this machine (DNS
rebinding), and a form that another site sent says so in `Origin`: both are refused before anything
is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from permissions.console.parts import ConsoleParts

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with `no-referrer` a form has no `Origin`
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
_READING = frozenset({"GET", "HEAD"})


class Protection:
    """ASGI middleware around the whole console."""

    def __init__(self, app: ASGIApp, parts: ConsoleParts) -> None:
        self._app = app
        self._host, self._origin = parts.host, parts.site.origin
        self._is_secure = parts.is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses, or passes on and adds the headers to the answer."""
        if scope["type"] != "http":
            return
        said = self._refusal(scope["method"], Headers(scope=scope))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._is_secure:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        if said is None:
            await self._app(scope, receive, with_headers)
        else:
            await PlainTextResponse(f"{said}\n", 403)(scope, receive, with_headers)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.getlist("host"), headers.getlist("origin")
        if host != [self._host]:
            return f"The console is reached as {self._origin} and by no other name."
        if method in _READING:
            return None
        if method != "POST":
            return "The console reads GET and POST."
        if origin != [self._origin]:
            return "This was sent by another site, or by no browser."
        return None
