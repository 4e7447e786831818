"""Requests whose bodies are JSON objects of a known form, and answers as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from permissions.service.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

MAX_BODY = 1024 * 1024
"""Bytes of a request."""
BODY_SECONDS = 10.0
"""For it to come whole."""

Form = TypeVar("Form", bound=BaseModel)


async def json_object(request: Request) -> dict[str, Any]:
    """The body of a request.

    Raises:
        Problem: it is no JSON object, says that it is something else, is too long, or too slow.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(400, f"the body is {kind[:80] or 'nothing'!r}; send application/json")
    body = b""
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    raise Problem(413, f"the body is longer than {MAX_BODY} bytes")
    except TimeoutError:
        raise Problem(408, f"the body did not come within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "the connection ended within the body") from None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise Problem(400, f"the body is not JSON: {err}"[:300]) from None
    if not isinstance(found, dict):
        raise Problem(400, "the body is not a JSON object")
    return found


def formed(form: type[Form], document: Mapping[str, Any]) -> Form:
    """A document of a form.

    Raises:
        Problem: it is not; says which member and why, never its value.
    """
    try:
        return form.model_validate(document)
    except ValidationError as err:
        raise Problem(400, faults_of(err)) from None


def faults_of(err: ValidationError) -> str:
    """What is wrong with a document, member by member."""
    faults = err.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults[:8]
    )[:1000]


def answered(document: Any) -> Response:
    """An answer that nobody keeps."""
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(document), headers=headers, media_type="application/json")
