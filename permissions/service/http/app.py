"""The daemon's HTTP application: how it stands, and what is mounted into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from permissions.errors import BrokerError
from permissions.service.http.problems import (
    Problem,
    on_fault,
    on_http,
    on_problem,
    on_refusal,
    problem_response,
)
from permissions.service.http.request_id import RequestIds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import anyio
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from permissions.broker.broker import PermissionBroker

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class HttpParts:
    """What the application is made of.

    Attributes:
        broker: opened in this event loop.
        hindrance: why the daemon takes no calls now; None when it does.
        stopping: set when the daemon begins to stop, for answers that go on (event streams).
        hosts: names by which it is reached, beside those of the loopback. Any other `Host` is
            refused: a web page cannot reach it by a name of its own (DNS rebinding).
        mounts: routes of others, asked after its own, so that one at `/` takes what is left.
    """

    broker: PermissionBroker
    hindrance: Callable[[], str | None]
    stopping: anyio.Event
    hosts: Sequence[str] = ()
    mounts: Sequence[BaseRoute] = ()


def create_app(parts: HttpParts) -> Starlette:
    """The application over one broker."""

    async def readyz(_: Request) -> Response:
        if (said := parts.hindrance()) is not None:
            return problem_response(503, said)
        return JSONResponse({"status": "ready"}, headers=_FRESH)

    names = [*LOOPBACK_NAMES, *parts.hosts]
    return Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            *parts.mounts,
        ],
        middleware=[
            Middleware(RequestIds),
            Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False),
        ],
        exception_handlers={
            Problem: on_problem,
            HTTPException: on_http,
            BrokerError: on_refusal,
            Exception: on_fault,
        },
    )


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "alive"}, headers=_FRESH)


_FRESH = {"Cache-Control": "no-store"}
