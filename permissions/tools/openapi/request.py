"""The HTTP request that a call of an operation becomes. Pure.

An argument stays where its parameter belongs: a value in the path is one segment and leads
nowhere else, one in a header ends no line, and none of them adds a parameter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from permissions.errors import ToolFailedError
from permissions.tools.openapi.operation import BODY, SERVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.tools.openapi.operation import Credential, Operation
    from permissions.vocabulary import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. Credentials show in no text of it."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)


def request_of(
    operation: Operation, arguments: JsonObject, credentials: Mapping[Credential, str]
) -> Request:
    """The request of a call.

    Args:
        operation: that is called.
        arguments: as they were decided.
        credentials: with their values.

    Raises:
        ToolFailedError: an argument cannot be sent as what it is.
    """
    server = arguments[SERVER]
    if server not in operation.servers:
        raise ToolFailedError("the server is none of the document's")
    path, query, headers = operation.path, list[tuple[str, str]](), dict[str, str]()
    for each in operation.parameters:
        value = arguments.get(each.argument)
        if value is None or each.source == "body":
            continue
        texts = [_text(each.argument, item) for item in _items(value)]
        if each.source == "path":
            path = path.replace(f"{{{each.name}}}", _segment(each.argument, texts))
        elif each.source == "header":
            headers[each.name] = _line(each.argument, ",".join(texts))
        elif each.explode:
            query += [(each.name, text) for text in texts]
        else:
            query.append((each.name, ",".join(texts)))
    if (content := _content(operation, arguments)) is not None:
        headers["Content-Type"] = "application/json"
    for credential, secret in credentials.items():
        if credential.source == "query":
            query.append((credential.name, secret))
        else:
            headers[credential.name] = _said(credential, secret)
    asked = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in query)
    url = f"{server}{path}" + (f"?{asked}" if asked else "")
    return Request(operation.method.upper(), url, headers, content)


def _content(operation: Operation, arguments: JsonObject) -> bytes | None:
    """The JSON body: of its members, or whole; None without any."""
    members = [each for each in operation.parameters if each.source == "body"]
    if members:
        body: JsonValue = {
            each.name: arguments[each.argument]
            for each in members
            if each.argument in arguments
        }
    elif operation.body is None or arguments.get(BODY) is None:
        return None
    else:
        body = arguments[BODY]
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def _said(credential: Credential, secret: str) -> str:
    match credential.source:
        case "bearer":
            return f"Bearer {secret}"
        case "basic":
            from base64 import b64encode

            return f"Basic {b64encode(secret.encode()).decode()}"
        case _:
            return secret


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]


def _text(argument: str, value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ToolFailedError(f"{argument}: only texts, numbers and booleans can be sent there")


def _segment(argument: str, texts: list[str]) -> str:
    if any(text in {"", ".", ".."} for text in texts):
        raise ToolFailedError(f"{argument}: an empty text, `.` or `..` is another path")
    return ",".join(quote(text, safe="") for text in texts)


def _line(argument: str, text: str) -> str:
    if not text.isprintable() or not text.isascii():
        raise ToolFailedError(f"{argument}: a header takes printable ASCII only")
    return text.strip()
