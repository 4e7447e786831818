"""Errors over HTTP as problem details (RFC 9457): one form, whatever went wrong and wherever."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from permissions.errors import BrokerError, ServiceError
from permissions.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_log = get_logger("service.http")

UNTYPED = "about:blank"
"""A problem that is of no kind but its status's."""


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """A request that is not answered as it was asked.

    Attributes:
        status: of HTTP, 400 and above.
        detail: what is wrong with which value, and what to do; no argument of a call in it.
        headers: of the answer, as `WWW-Authenticate`.
        type: URI of its kind, where somebody defined one.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        type_: str = UNTYPED,
    ) -> None:
        self.status = status
        self.detail = detail
        self.headers = headers
        self.type = type_
        super().__init__(detail)


def problem_response(
    status: int,
    detail: str | None,
    *,
    headers: Mapping[str, str] | None = None,
    type_: str = UNTYPED,
) -> Response:
    """The body `application/problem+json` of a status."""
    form = {"type": type_, "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        form["detail"] = detail
    return Response(
        orjson.dumps(form),
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/problem+json",
    )


async def on_problem(_: Request, err: Exception) -> Response:
    """Answers a `Problem`."""
    assert isinstance(err, Problem)  # noqa: S101 - as starlette was told
    return problem_response(err.status, err.detail, headers=err.headers, type_=err.type)


async def on_http(_: Request, err: Exception) -> Response:
    """Answers what starlette itself refuses: no such path, another method."""
    assert isinstance(err, HTTPException)  # noqa: S101 - as starlette was told
    said = None if err.detail == HTTPStatus(err.status_code).phrase else err.detail
    return problem_response(err.status_code, said, headers=err.headers)


async def on_refusal(_: Request, err: Exception) -> Response:
    """Answers what the broker itself refuses, which names no argument."""
    assert isinstance(err, BrokerError)  # noqa: S101 - as starlette was told
    status = 400 if isinstance(err, ServiceError) else 503
    return problem_response(status, str(err)[:1000])


async def on_fault(_: Request, err: Exception) -> Response:
    """Answers a fault of the daemon's own, of which nothing is told."""
    _log.error("request_failed", fault=type(err).__name__, exc_info=err)
    return problem_response(500, "the daemon met an error of its own; its log says which")
