"""Gives a request's `X-Request-ID` back with its answer, whatever that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NAME = b"x-request-id"
_MOST = 256


class RequestIds:
    """Middleware; an id that is too long or not of printable ASCII is not given back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        found = b"" if scope["type"] != "http" else dict(scope["headers"]).get(_NAME, b"")
        if not 0 < len(found) <= _MOST or not all(0x20 <= each < 0x7F for each in found):
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_NAME, found)]
            await send(message)

        await self._app(scope, receive, told)
