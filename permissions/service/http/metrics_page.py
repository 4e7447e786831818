"""`/metrics`: what Prometheus scrapes, with a token like every client."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from permissions.broker.broker import PermissionBroker
    from permissions.service.http.identity import BearerTokens
    from permissions.service.metered_trace import MeteredTrace
    from permissions.service.metrics import Metrics
    from permissions.service.server import Server


def metrics_route(
    metrics: Metrics,
    trace: MeteredTrace,
    broker: PermissionBroker,
    server: Server,
    tokens: BearerTokens,
) -> Route:
    """The page of one daemon."""

    async def page(request: Request) -> Response:
        await tokens.client(request)
        parts = broker.parts
        text = metrics.text(
            pending=await parts.approvals.listed(pending_only=True),
            now=parts.clock(),
            unsynced=trace.unsynced,
            sessions=server.sessions,
            ready=server.hindrance() is None,
            policy=parts.pdp.revision,
            version=version("wardline"),
        )
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", page, methods=["GET"])
