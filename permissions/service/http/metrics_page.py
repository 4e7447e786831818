"""`/metrics`: what Prometheus scrapes, with a token like every client."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.routing import Route

from permissions.errors import BrokerError
from permissions.gathered import Gathered
from permissions.inquiry.assured import Assured, assured
from permissions.logs import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from permissions.broker.broker import PermissionBroker
    from permissions.service.http.identity import BearerTokens
    from permissions.service.metered_trace import MeteredTrace
    from permissions.service.metrics import Metrics
    from permissions.service.server import Server


_log = get_logger("service.metrics")


async def highest_share(broker: PermissionBroker) -> float:
    """What the open session that is nearest to the end of a budget used of it; 0 for none.

    Raises:
        StateError: the state cannot be read.
    """
    highest = 0.0
    for session in [*broker.stopping.sessions.values()]:
        limits = {name: limit for name, limit in session.limits.items() if limit}
        used = await session.budgets.used(session.run) if limits else {}
        highest = max([highest, *(used.get(name, 0) / limits[name] for name in limits)])
    return highest


def metrics_route(
    metrics: Metrics,
    trace: MeteredTrace,
    broker: PermissionBroker,
    server: Server,
    tokens: BearerTokens,
    *,
    evidence: Path | None,
) -> Route:
    """The page of one daemon.

    Args:
        metrics, trace, broker, server: what is told.
        tokens: who may ask.
        evidence: folder of what was gathered; read anew each time.
    """

    def gathered(revision: str) -> Assured:
        try:
            results = {} if evidence is None else Gathered(evidence).all()
        except (BrokerError, OSError) as err:
            _log.error("evidence_unreadable", cause=str(err)[:300])
            results = {}
        return assured(results, revision=revision)

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
            budget=await highest_share(broker),
            assured=await anyio.to_thread.run_sync(gathered, parts.pdp.revision),
        )
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", page, methods=["GET"])
