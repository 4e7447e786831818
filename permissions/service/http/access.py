"""The Authorization API over HTTP, and its profile of access requests: `/access/v1/…`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.routing import Route

from permissions.errors import BrokerError, ServiceError
from permissions.service.authzen.access_requests import (
    CAPABILITY,
    PATH,
    POLL_SECONDS,
    AccessRequestError,
)
from permissions.service.authzen.model import (
    ActionSearch,
    Cancellation,
    Evaluation,
    Evaluations,
    ResourceSearch,
    SubjectSearch,
    Submission,
)
from permissions.service.authzen.service import failed
from permissions.service.http.access_schema import openapi
from permissions.service.http.bodies import answered, faults_of, formed, json_object
from permissions.service.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from permissions.approval.model import AccessRequest
    from permissions.model import JsonObject
    from permissions.service.authzen.service import AccessService
    from permissions.service.clients import Client
    from permissions.service.http.identity import BearerTokens

_SHARED = ("subject", "action", "resource", "context")


def access_routes(service: AccessService, tokens: BearerTokens) -> list[Route]:
    """What is served of the Authorization API, and its description as OpenAPI."""
    api = _Api(service, tokens)
    return [
        Route("/access/v1/evaluation", api.evaluation, methods=["POST"]),
        Route("/access/v1/evaluations", api.evaluations, methods=["POST"]),
        Route("/access/v1/search/subject", api.search_subject, methods=["POST"]),
        Route("/access/v1/search/resource", api.search_resource, methods=["POST"]),
        Route("/access/v1/search/action", api.search_action, methods=["POST"]),
        Route(PATH, api.submit, methods=["POST"]),
        Route(f"{PATH}/{{task}}", api.task, methods=["GET"]),
        Route(f"{PATH}/{{task}}/cancel", api.cancel, methods=["POST"]),
        Route("/.well-known/authzen-configuration", _metadata, methods=["GET"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
    ]


class _Api:
    """One method for each path."""

    def __init__(self, service: AccessService, tokens: BearerTokens) -> None:
        self._service = service
        self._tokens = tokens

    async def evaluation(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        return answered(await self._one(await json_object(request), client))

    async def evaluations(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        body = await json_object(request)
        batch = formed(Evaluations, body)
        if not batch.evaluations:
            return answered(await self._one(body, client))
        shared = {name: body[name] for name in _SHARED if name in body}
        answers: list[JsonObject] = []
        until = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(
            batch.options.evaluations_semantic
        )
        for each in batch.evaluations:
            answer = await self._of_many({**shared, **each}, client)
            answers.append(answer)
            if answer["decision"] is until:
                break
        return answered({"evaluations": answers})

    async def search_subject(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        asked = formed(SubjectSearch, await json_object(request))
        return answered({"results": await self._service.subjects(asked, client)})

    async def search_resource(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        asked = formed(ResourceSearch, await json_object(request))
        return answered({"results": await self._service.resources(asked, client)})

    async def search_action(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        asked = formed(ActionSearch, await json_object(request))
        return answered({"results": await self._service.actions(asked, client)})

    async def submit(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        asked = formed(Submission, await json_object(request))
        with _as_problems():
            found = await self._service.requests.submit(asked, client)
        told = self._task(found, request)
        told.status_code = 202 if found.status == "pending" else 201
        told.headers["Location"] = f"{_here(request)}{PATH}/{found.id}"
        return told

    async def task(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        with _as_problems():
            found = await self._service.requests.task(request.path_params["task"], client)
        return self._task(found, request)

    async def cancel(self, request: Request) -> Response:
        client = await self._tokens.client(request)
        if request.headers.get("content-type") is not None:
            formed(Cancellation, await json_object(request))
        with _as_problems():
            found = await self._service.requests.cancel(request.path_params["task"], client)
        return self._task(found, request)

    def _task(self, found: AccessRequest, request: Request) -> Response:
        told = answered(self._service.requests.document(found, _here(request)))
        if found.status == "pending":
            told.headers["Retry-After"] = str(POLL_SECONDS)
        return told

    async def _one(self, document: JsonObject, client: Client) -> JsonObject:
        asked = formed(Evaluation, document)
        try:
            return await self._service.evaluate(asked, client)
        except ServiceError as err:
            raise Problem(403, str(err)) from err

    async def _of_many(self, document: JsonObject, client: Client) -> JsonObject:
        try:
            return await self._service.evaluate(Evaluation.model_validate(document), client)
        except ValidationError as err:
            said = {"status": 400, "message": faults_of(err)}
            return {"decision": False, "context": {"error": said}}
        except BrokerError as err:
            return failed(err)


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except AccessRequestError as err:
        raise Problem(err.status, str(err), type_=err.type) from err
    except ServiceError as err:
        raise Problem(403, str(err)) from err


def _here(request: Request) -> str:
    return str(request.base_url).rstrip("/")


async def _metadata(request: Request) -> Response:
    here = _here(request)
    paths = {
        "access_evaluation": "evaluation",
        "access_evaluations": "evaluations",
        "search_subject": "search/subject",
        "search_resource": "search/resource",
        "search_action": "search/action",
    }
    found: dict[str, Any] = {"policy_decision_point": here}
    found |= {f"{name}_endpoint": f"{here}/access/v1/{path}" for name, path in paths.items()}
    found |= {"access_request_endpoint": f"{here}{PATH}", "capabilities": [CAPABILITY]}
    return answered(found)


async def _openapi(request: Request) -> Response:
    return answered(openapi(_here(request)))
