"""The Authorization API, and its profile of access requests, as an OpenAPI 3.1 document, from the forms that it checks."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from permissions.service.authzen.access_requests import PATH
from permissions.service.authzen.model import (
    ActionSearch,
    Cancellation,
    Evaluation,
    Evaluations,
    ResourceSearch,
    SubjectSearch,
    Submission,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from permissions.model import JsonObject

_FORMS: tuple[type[BaseModel], ...] = (
    Evaluation,
    Evaluations,
    SubjectSearch,
    ResourceSearch,
    ActionSearch,
    Submission,
    Cancellation,
)
_DECISION: JsonObject = {
    "type": "object",
    "required": ["decision"],
    "properties": {"decision": {"type": "boolean"}, "context": {"type": "object"}},
}
_MANY: JsonObject = {
    "anyOf": [
        {"$ref": "#/components/schemas/Decision"},
        {
            "type": "object",
            "required": ["evaluations"],
            "properties": {
                "evaluations": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/Decision"},
                }
            },
        },
    ]
}
_RESULTS: JsonObject = {
    "type": "object",
    "required": ["results"],
    "properties": {"results": {"type": "array", "items": {"type": "object"}}},
}
_PROBLEM: JsonObject = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_TASK: JsonObject = {
    "type": "object",
    "required": ["task"],
    "properties": {
        "task": {
            "type": "object",
            "required": ["id", "status", "status_endpoint"],
            "properties": {
                "id": {"type": "string"},
                "status": {"enum": ["pending", "approved", "denied", "expired", "cancelled"]},
                "status_endpoint": {"type": "string"},
                "expires_at": {"type": "string"},
                "progress": {"type": "object"},
                "links": {"type": "object"},
            },
        },
        "result": {"type": "object"},
    },
}
_TASK_ID: JsonObject = {
    "name": "task",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
}
_PATHS = {
    "/access/v1/evaluation": (Evaluation, "Decision", "May this subject do this?"),
    "/access/v1/evaluations": (Evaluations, "Decisions", "Several such questions."),
    "/access/v1/search/subject": (SubjectSearch, "Results", "Who may do this?"),
    "/access/v1/search/resource": (ResourceSearch, "Results", "To what may it do this?"),
    "/access/v1/search/action": (ActionSearch, "Results", "What may it do to this?"),
}


def openapi(here: str) -> JsonObject:
    """The document of a server that is reached at a URL."""
    _, made = models_json_schema(
        [(form, "validation") for form in _FORMS], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = {
        **made["$defs"],
        "Evaluations": _one_or_many(made["$defs"]["Evaluations"]),
        "Decision": _DECISION,
        "Decisions": _MANY,
        "Results": _RESULTS,
        "Task": _TASK,
        "Problem": _PROBLEM,
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wardline: AuthZEN Authorization API 1.0",
            "version": version("wardline"),
            "description": "Decisions of the broker for those who enforce them elsewhere.",
        },
        "servers": [{"url": here}],
        "security": [{"token": []}],
        "paths": {
            **{
                path: {"post": _operation(form.__name__, answer, words)}
                for path, (form, answer, words) in _PATHS.items()
            },
            **_profile(),
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _one_or_many(many: JsonObject) -> JsonObject:
    """One question, or several with what they share."""
    members = many["properties"]
    some = {**members["evaluations"], "minItems": 1}
    none = {**members["evaluations"], "maxItems": 0}
    return {
        "anyOf": [
            {
                **many,
                "properties": {**members, "evaluations": some},
                "required": ["evaluations"],
            },
            {
                "allOf": [
                    _ref("Evaluation"),
                    {"type": "object", "properties": {**members, "evaluations": none}},
                ]
            },
        ]
    }


def _profile() -> JsonObject:
    """Operations of the profile of access requests."""
    gone = {"409": "It is no longer open.", "410": "Its time is over."}
    submit = _operation("Submission", "Task", "Have people asked (draft)", ("201", "202"))
    submit["responses"] |= _problems({"410": gone["410"], "429": "Too many wait for people."})
    cancel = _operation("Cancellation", "Task", "Ask them no longer (draft)")
    cancel["requestBody"]["required"] = False
    cancel["responses"] |= _problems({"404": _NO_TASK, "409": gone["409"]})
    follow = {
        "summary": "What they say (draft)",
        "responses": {
            "200": _told("The task.", "Task"),
            **_problems({"401": _TOLD["401"], "404": _NO_TASK, "503": _TOLD["503"]}),
        },
    }
    one = f"{PATH}/{{task}}"
    return {
        PATH: {"post": submit},
        one: {"parameters": [_TASK_ID], "get": follow},
        f"{one}/cancel": {"parameters": [_TASK_ID], "post": cancel},
    }


_NO_TASK = "This client has no such task."
_TOLD = {
    "400": "Not of the form.",
    "401": "Nobody known asks.",
    "403": "Not this client's to ask.",
    "408": "It came too slowly.",
    "413": "It is too long.",
    "503": "It cannot be recorded, or the daemon is full.",
}


def _operation(
    form: str, answer: str, words: str, statuses: Sequence[str] = ("200",)
) -> dict[str, Any]:
    return {
        "summary": words,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(form)}},
        },
        "responses": {
            **{status: _told("The answer.", answer) for status in statuses},
            **_problems(_TOLD),
        },
    }


def _told(words: str, form: str) -> JsonObject:
    return {"description": words, "content": {"application/json": {"schema": _ref(form)}}}


def _problems(told: Mapping[str, str]) -> JsonObject:
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    return {status: {"description": said, "content": problem} for status, said in told.items()}


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}
