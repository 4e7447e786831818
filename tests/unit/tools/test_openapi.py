"""OpenAPI operations: what is read of a document, what a call sends, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from permissions.errors import ArgumentsError, ToolDefinitionError, ToolFailedError
from permissions.integrations.openapi import guard_openapi
from permissions.tools.decorator import guard_of
from permissions.tools.openapi.document import Document
from permissions.tools.openapi.operation import Operation, operations
from permissions.tools.openapi.request import request_of

if TYPE_CHECKING:
    from pathlib import Path

YAML = """
openapi: 3.0.3
info: {title: Pets, version: "1"}
servers: [{url: https://pets.example/v1/}]
security: [{token: []}]
paths:
  /pets/{petId}:
    parameters:
      - {$ref: '#/components/parameters/Id'}
    get:
      operationId: getPet
      summary: Shows a pet.
      parameters:
        - {name: fields, in: query, schema: {type: array, items: {type: string}, maxItems: 3}}
        - {name: X-Trace, in: header, schema: {type: string, pattern: '^[a-z]+$'}}
        - {name: since, in: query, explode: false, schema: {type: array, items: {type: integer}}}
        - {name: Authorization, in: header, schema: {type: string}}
    put:
      operationId: putPet
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Pet'}
  /tree:
    post:
      operationId: plant
      security: []
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Tree'}}}}
components:
  parameters:
    Id: {name: petId, in: path, required: true, schema: {type: string, minLength: 1, maxLength: 9}}
  schemas:
    Pet:
      type: object
      additionalProperties: false
      required: [name]
      properties:
        name: {type: string, maxLength: 5}
        age: {type: integer, minimum: 0, exclusiveMinimum: true}
        born: {type: string, nullable: true, example: 2020-01-01}
    Tree: {type: object, properties: {child: {$ref: '#/components/schemas/Tree'}}}
  securitySchemes:
    token: {type: http, scheme: bearer}
    key: {type: apiKey, in: header, name: X-Key}
"""
SECRETS = {"token": "secret://pets"}


def pets(tmp_path: Path, text: str = YAML) -> Path:
    file = tmp_path / "pets.yaml"
    file.write_text(text)
    return file


def read(tmp_path: Path, name: str) -> Operation:
    found = {each.name: each for each in operations(Document.read(pets(tmp_path)))}[name]
    assert isinstance(found, Operation), found
    return found


def test_arguments_are_parameters_the_body_and_the_server(tmp_path: Path) -> None:
    get, put = guard_openapi(pets(tmp_path), only=["getPet", "putPet"], secrets=SECRETS)
    found = guard_of(get).definition

    assert found.schema["properties"].keys() == {
        "server",
        "petId",
        "fields",
        "X_Trace",
        "since",
    }
    assert found.schema["required"] == ["petId"]
    assert found.description == "GET /pets/{petId}: Shows a pet."
    assert found.marks == {"server": "host"}
    assert (found.effect, found.impact, found.output) == ("execute", "high", "untrusted")
    assert "server" in found.control, "where it goes is a control argument"
    assert guard_of(put).definition.schema["required"] == ["petId", "name"]
    assert guard_of(put).definition.schema["properties"].keys() >= {"name", "age", "born"}


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("getPet", {"petId": "longer than nine"}),
        ("getPet", {"petId": 5}),
        ("getPet", {"petId": "a", "fields": ["a", "b", "c", "d"]}),
        ("getPet", {"petId": "a", "X_Trace": "A"}),
        ("getPet", {"petId": "a", "server": "https://evil.example"}),
        ("getPet", {"petId": "a", "other": 1}),
        ("putPet", {"petId": "a", "name": "longer"}),
        ("putPet", {"petId": "a", "name": "a", "age": 0}),
        ("putPet", {"petId": "a", "name": "a", "more": 1}),
        ("putPet", {"petId": "a"}),
    ],
)
def test_what_the_document_does_not_allow_is_no_call(
    tmp_path: Path, tool: str, given: dict[str, Any]
) -> None:
    made = guard_openapi(pets(tmp_path), only=["getPet", "putPet"], secrets=SECRETS)
    definition = {guard_of(each).definition.name: guard_of(each).definition for each in made}[
        tool
    ]

    with pytest.raises(ArgumentsError):
        definition.validate(given)


def test_a_request_holds_each_argument_where_it_belongs(tmp_path: Path) -> None:
    get = read(tmp_path, "getPet")
    ((token,),) = get.credentials
    given = {
        "server": "https://pets.example/v1",
        "petId": "a/../b?x=1#",
        "fields": ["n&m", "ä"],
        "since": [1, 2],
        "X_Trace": "abc",
    }

    sent = request_of(get, given, {token: "hush"})

    assert sent.method == "GET"
    assert sent.url == (
        "https://pets.example/v1/pets/a%2F..%2Fb%3Fx%3D1%23"
        "?fields=n%26m&fields=%C3%A4&since=1%2C2"
    )
    assert sent.headers == {"X-Trace": "abc", "Authorization": "Bearer hush"}
    assert "hush" not in repr(sent)


@pytest.mark.parametrize(
    "given",
    [
        {"petId": ".."},
        {"petId": "."},
        {"petId": ""},
        {"petId": "a", "X_Trace": "a\r\nHost: evil"},
        {"petId": "a", "X_Trace": "\u00e4"},
        {"petId": {"a": 1}},
        {"petId": "a", "server": "https://evil.example"},
    ],
)
def test_what_would_lead_elsewhere_is_not_sent(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ToolFailedError):
        request_of(read(tmp_path, "getPet"), {"server": "https://pets.example/v1", **given}, {})


def test_a_body_is_the_json_that_was_decided(tmp_path: Path) -> None:
    """A member that nobody gave is left out, and one that was given as null is null."""
    given = {"server": "https://pets.example/v1", "petId": "a", "born": None, "name": "ü"}

    sent = request_of(read(tmp_path, "putPet"), given, {})

    assert sent.content is not None
    assert json.loads(sent.content) == {"born": None, "name": "ü"}
    assert sent.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "minProperties": 1},
        {"type": "object", "properties": {"q": {"type": "string"}}},
        {"type": "object", "properties": {"a-b": {"type": "string"}}},
        {"oneOf": [{"type": "object"}, {"type": "string"}]},
    ],
    ids=["list", "tied", "taken", "no-name", "one-of"],
)
def test_a_body_whose_members_are_no_arguments_is_one(schema: dict[str, Any]) -> None:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    document = taking({"name": "q", "in": "query", "schema": TEXT}, requestBody=body)

    (one,) = operations(Document.of(document))
    assert isinstance(one, Operation)
    sent = request_of(one, {"server": "https://a.example", "body": ["x"]}, {})

    assert one.schema["properties"].keys() == {"server", "q", "body"}
    assert sent.content == b'["x"]'


def test_a_member_of_a_body_has_its_mark() -> None:
    members = {"to": {"type": "string"}, "amount": {"type": "string"}}
    schema = {"type": "object", "properties": members, "required": ["to"]}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    marks = {"to": "account", "amount": "amount EUR"}

    (pay,) = guard_openapi(
        taking(requestBody=body), {"do": {"effect": "send", "impact": "high", "marks": marks}}
    )

    assert guard_of(pay).definition.marks == {
        "server": "host",
        "to": "recipient",
        "amount": "amount",
    }


def changed(**paths: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "servers": [{"url": "https://a.example"}],
        "paths": paths,
    }


def taking(*parameters: Any, path: str = "/a", **more: Any) -> dict[str, Any]:
    return changed(
        **{path: {"post": {"operationId": "do", "parameters": [*parameters], **more}}}
    )


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"swagger": "2.0"}, "Swagger 2"),
        ({"openapi": "4.0.0"}, "no version known"),
        ({"openapi": "3.1.0", "jsonSchemaDialect": "urn:x"}, "urn:x"),
        ({"openapi": "3.1.0"}, "no paths"),
        (taking({"$ref": "other.yaml#/x"}), "'other.yaml#/x', which is outside"),
        (taking({"$ref": "https://a.example/x"}), "outside of this document"),
        (taking({"$ref": "#/components/nothing"}), "not there"),
        (taking({"name": "q", "in": "query", "schema": {"type": "object"}}), "is an object"),
        (taking({"name": "q", "in": "query", "style": "deepObject", "schema": TEXT}), "form"),
        (taking({"name": "q", "in": "query", "content": {}}), "form"),
        (taking({"name": "q", "in": "cookie", "schema": TEXT}), "cannot be sent"),
        (taking({"name": "Host", "in": "header", "schema": TEXT}), "cannot be sent"),
        (taking({"name": "x", "in": "path", "required": True, "schema": TEXT}), "differ in 'x'"),
        (taking(path="/a/{id}"), "differ in 'id'"),
        (
            taking(
                {"name": "a-b", "in": "query", "schema": TEXT},
                {"name": "a.b", "in": "query", "schema": TEXT},
            ),
            "two of its arguments",
        ),
        (taking({"name": "server", "in": "query", "schema": TEXT}), "two of its arguments"),
        (taking(requestBody={"content": {"text/plain": {}}}), "text/plain, and no JSON"),
        (taking(requestBody={"content": {"application/json": {"schema": {"$id": "x"}}}}), r"\$id"),
        (taking(servers=[{"url": "http://a.example"}]), "no whole https URL"),
        (taking(servers=[{"url": "https://{host}/"}]), "no whole https URL"),
        (taking(servers=[{"url": "https://u:p@a.example"}]), "no whole https URL"),
        (taking(servers=[{"url": "/v1"}]), "no whole https URL"),
        (taking(security=[{"nobody": []}]), "security scheme 'nobody'"),
        (
            changed(**{
                "/a": {"get": {"operationId": "x"}},
                "/b": {"get": {"operationId": "x"}},
            }),
            "two operations are called 'x'",
        ),
    ],
)  # fmt: skip
def test_what_it_cannot_read_is_refused_by_name(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolDefinitionError, match=said):
        guard_openapi(document)


def test_a_schema_that_contains_itself_is_refused_and_the_others_are_not(
    tmp_path: Path,
) -> None:
    with pytest.raises(ToolDefinitionError, match=r"plant: .*Tree contains itself"):
        guard_openapi(pets(tmp_path), secrets=SECRETS)

    assert len(guard_openapi(pets(tmp_path), only=["getPet"], secrets=SECRETS)) == 1


def test_a_small_document_that_unfolds_into_a_large_one_is_refused() -> None:
    schemas: dict[str, Any] = {"s0": TEXT}
    for number in range(1, 12):
        below = {"$ref": f"#/components/schemas/s{number - 1}"}
        schemas[f"s{number}"] = {
            "type": "object",
            "properties": {f"p{each}": below for each in range(8)},
        }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/s11"}}}}
    document = {**taking(requestBody=body), "components": {"schemas": schemas}}

    with pytest.raises(ToolDefinitionError, match="takes over"):
        guard_openapi(document)


def test_a_credential_without_a_handle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolDefinitionError, match=r"getPet: needs a credential of token"):
        guard_openapi(pets(tmp_path), only=["getPet"])


@pytest.mark.parametrize("names", ["only", "manifest"])
def test_an_operation_that_is_not_there_is_a_mistake(tmp_path: Path, names: str) -> None:
    given: dict[str, Any] = {"only": ["getPets"]} if names == "only" else {
        "manifest": {"getPets": {}}
    }  # fmt: skip

    with pytest.raises(ToolDefinitionError, match="getPets"):
        guard_openapi(pets(tmp_path), secrets=SECRETS, **given)
