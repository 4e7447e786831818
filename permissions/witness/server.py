"""The witness as an HTTP service: `add-checkpoint`, and the last checkpoint of each log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from permissions.trace.witnessing import MAX_REQUEST

if TYPE_CHECKING:
    from starlette.requests import Request

    from permissions.witness.judge import Answer, Judge


def witness_app(judge: Judge) -> Starlette:
    """The application; whoever serves it bounds how many connections there are."""

    async def add_checkpoint(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_REQUEST:
                return Response("the request is too long\n", status_code=413)
        return _response(await run_in_threadpool(judge.add_checkpoint, bytes(body)))

    async def checkpoint(request: Request) -> Response:
        digest = request.path_params["origin"]
        return _response(await run_in_threadpool(judge.checkpoint_of, digest))

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{origin}/checkpoint", checkpoint, methods=["GET"]),
        ]
    )


def _response(answer: Answer) -> Response:
    return Response(answer.text, status_code=answer.status, media_type=answer.kind)
