"""The Authorization API as an OpenAPI 3.1 document, from the forms that it checks."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from permissions.service.authzen.model import (
    ActionSearch,
    Evaluation,
    Evaluations,
    ResourceSearch,
    SubjectSearch,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from permissions.model import JsonObject

_FORMS: tuple[type[BaseModel], ...] = (
    Evaluation,
    Evaluations,
    SubjectSearch,
    ResourceSearch,
    ActionSearch,
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
            path: {"post": _operation(form.__name__, answer, words)}
            for path, (form, answer, words) in _PATHS.items()
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


def _operation(form: str, answer: str, words: str) -> JsonObject:
    told = {
        "400": "Not of the form.",
        "401": "Nobody known asks.",
        "403": "Not this client's to ask.",
        "408": "It came too slowly.",
        "413": "It is too long.",
        "503": "It cannot be recorded, or the daemon is full.",
    }
    return {
        "summary": words,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(form)}},
        },
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {"application/json": {"schema": _ref(answer)}},
            },
            **{
                status: {
                    "description": said,
                    "content": {"application/problem+json": {"schema": _ref("Problem")}},
                }
                for status, said in told.items()
            },
        },
    }


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}
