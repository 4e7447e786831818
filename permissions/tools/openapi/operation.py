"""One operation of an OpenAPI document: its arguments, where each goes, and what it needs.

What would be sent otherwise than it was decided is refused: bodies that are no JSON, parameters
of forms not known here, servers with variables, headers that belong to the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from permissions.errors import ToolDefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.tools.openapi.document import Document
    from permissions.vocabulary import JsonObject

METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
SERVER, BODY = "server", "body"
"""Arguments of the call itself, beside the parameters."""
Source = Literal["path", "query", "header", "body"]

_STYLES = {"path": "simple", "query": "form", "header": "simple"}
_PLAIN = frozenset(
    {"additionalProperties", "description", "properties", "required", "title", "type"}
)
"""Of a body whose members are arguments of their own, so that each can have its mark."""
_NOT_SAID = frozenset({"accept", "authorization", "content-type"})
"""Header parameters that the specification ignores."""
_OF_THE_CONNECTION = frozenset(
    {
        *("connection", "content-length", "cookie", "expect", "host", "keep-alive", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument and where it goes.

    Attributes:
        argument: what the tool calls it; a name in Python.
        name: what the service calls it.
        explode: whether each item of a list is a parameter of its own.
    """

    argument: str
    name: str
    source: Source
    schema: JsonObject
    required: bool
    explode: bool


@dataclass(frozen=True, slots=True)
class Credential:
    """A value that the edge puts into a request.

    Attributes:
        scheme: its name in the document.
        source: where it goes; `bearer` and `basic` are ways of `Authorization`.
        name: of the header or parameter.
    """

    scheme: str
    source: Literal["header", "query", "bearer", "basic"]
    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that can be called.

    Attributes:
        body: schema of a body that is one argument; None where its members are arguments.
        credentials: alternatives; all of one of them are needed. Empty when there is no need.
    """

    name: str
    method: str
    path: str
    description: str
    servers: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    body: JsonObject | None
    body_required: bool
    credentials: tuple[tuple[Credential, ...], ...]

    @property
    def schema(self) -> JsonObject:
        """JSON Schema of the arguments; the server is one, so that policies see the host."""
        line = f"{self.method.upper()} {self.path}"
        properties: JsonObject = {
            SERVER: {
                "type": "string",
                "enum": list(self.servers),
                "default": self.servers[0],
                "description": f"Where it goes: {line} there.",
            }
        }
        required = []
        for each in self.parameters:
            properties[each.argument] = each.schema
            required += [each.argument] if each.required else []
        if self.body is not None:
            properties[BODY] = self.body
            required += [BODY] if self.body_required else []
        return {"type": "object", "properties": properties, "required": required}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An operation that cannot be called, and why."""

    name: str
    fault: ToolDefinitionError


def operations(
    document: Document, *, servers: tuple[str, ...] = ()
) -> Iterator[Operation | Unreadable]:
    """Each operation of a document, in its order.

    Args:
        document: the whole.
        servers: instead of those that it names.

    Raises:
        ToolDefinitionError: it has no paths, or two operations have one name.
    """
    paths = document.root.get("paths")
    if not isinstance(paths, dict) or not paths:
        raise ToolDefinitionError(f"{document.name}: has no paths")
    seen = set[str]()
    for path, item in paths.items():
        for method in METHODS:
            node = item.get(method) if isinstance(item, dict) else None
            if not isinstance(node, dict):
                continue
            name = _name(node, method, path)
            if name in seen:
                raise ToolDefinitionError(
                    f"{document.name}: two operations are called {name!r}"
                )
            seen.add(name)
            try:
                yield _Reading(document, name, method, str(path), item, node).operation(servers)
            except ToolDefinitionError as err:
                yield Unreadable(name, err)


def _name(node: Mapping[str, Any], method: str, path: str) -> str:
    said = node.get("operationId")
    text = said if isinstance(said, str) and said else f"{method}_{path}"
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:64] or method


@dataclass(frozen=True, slots=True)
class _Reading:
    """One operation while it is read."""

    document: Document
    name: str
    method: str
    path: str
    item: Mapping[str, Any]
    node: Mapping[str, Any]

    def operation(self, servers: tuple[str, ...]) -> Operation:
        if "$ref" in self.item:
            raise self._fault("its path refers to another; write it out")
        parameters = tuple(self._parameters())
        body, required = self._body()
        if body is not None and required and (members := self._members(body, parameters)):
            parameters, body = (*parameters, *members), None
        names = [SERVER, *(each.argument for each in parameters)]
        names += [BODY] if body is not None else []
        if doubled := sorted({each for each in names if names.count(each) > 1}):
            raise self._fault(f"two of its arguments would be called {doubled[0]!r:.60}")
        in_path = set(re.findall(r"\{([^{}]+)\}", self.path))
        said = {each.name for each in parameters if each.source == "path"}
        if in_path != said:
            odd = min(in_path ^ said)
            raise self._fault(f"its path and its path parameters differ in {odd[:60]!r}")
        return Operation(
            self.name,
            self.method,
            self.path,
            self._described(),
            servers or tuple(self._servers()),
            parameters,
            body,
            required,
            tuple(self._credentials()),
        )

    def _described(self) -> str:
        texts = [self.node.get("summary"), self.node.get("description")]
        said = "\n\n".join(each for each in texts if isinstance(each, str) and each)
        return f"{self.method.upper()} {self.path}" + (f": {said}" if said else "")

    def _servers(self) -> Iterator[str]:
        for holder in (self.node, self.item, self.document.root):
            if found := holder.get("servers"):
                break
        else:
            raise self._fault("no server is named; say servers=")
        for each in found if isinstance(found, list) else ():
            url = each.get("url") if isinstance(each, dict) else None
            yield server_url(url, f"{self.document.name}: {self.name}")

    def _parameters(self) -> Iterator[Parameter]:
        given: dict[tuple[str, str], JsonObject] = {}
        for holder in (self.item, self.node):
            for node in holder.get("parameters") or ():
                each = self.document.part(node, self.name)
                if not isinstance(each, dict):
                    raise self._fault("a parameter is no object")
                given[str(each.get("in")), str(each.get("name"))] = each
        for (source, name), each in given.items():
            if source == "header" and name.lower() in _NOT_SAID:
                continue
            yield self._parameter(source, name, each)

    def _parameter(self, source: str, name: str, node: JsonObject) -> Parameter:
        what = f"the {source} parameter {name[:60]!r}"
        if source not in _STYLES or (source == "header" and name.lower() in _OF_THE_CONNECTION):
            raise self._fault(f"{what} cannot be sent")
        style = node.get("style", _STYLES[source])
        if style != _STYLES[source] or "content" in node or node.get("allowReserved"):
            raise self._fault(f"{what} is of a form that is not known here ({style!r:.40})")
        schema = self.document.schema(node.get("schema", {}), f"{self.name}: {what}")
        items = schema.get("items")
        if schema.get("type") == "object" or (
            isinstance(items, dict) and items.get("type") in {"object", "array"}
        ):
            raise self._fault(f"{what} is an object; only single values and lists are sent")
        if source == "header" and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise self._fault(f"{what} has no header's name")
        if isinstance(node.get("description"), str):
            schema = {"description": node["description"], **schema}
        required = source == "path" or node.get("required") is True
        explode = bool(node.get("explode", source == "query"))
        argument = re.sub(r"\W", "_", name, flags=re.ASCII)
        return Parameter(argument, name, cast("Source", source), schema, required, explode)

    def _body(self) -> tuple[JsonObject | None, bool]:
        node = self.node.get("requestBody")
        if node is None:
            return None, False
        body = self.document.part(node, f"{self.name}: its body")
        content = body.get("content") if isinstance(body, dict) else None
        for kind, media in (content or {}).items():
            if kind.partition(";")[0].strip().lower() == "application/json":
                where = f"{self.name}: its body"
                schema = self.document.schema(media.get("schema", {}), where)
                return schema, body.get("required") is True
        raise self._fault(
            f"its body is {', '.join(content or ()) or 'of no kind'}, and no JSON"
        )

    def _members(
        self, body: JsonObject, beside: tuple[Parameter, ...]
    ) -> tuple[Parameter, ...]:
        """The members of a body as arguments; nothing where they are not independent."""
        properties = body.get("properties")
        if body.get("type") != "object" or not isinstance(properties, dict):
            return ()
        needed = set(body.get("required", ()))
        taken = {SERVER, *(each.argument for each in beside)}
        if body.keys() - _PLAIN or needed - properties.keys() or taken & properties.keys():
            return ()
        if not all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) for name in properties):
            return ()
        return tuple(
            Parameter(
                name,
                name,
                "body",
                schema if isinstance(schema, dict) else {},
                name in needed,
                explode=False,
            )
            for name, schema in properties.items()
        )

    def _credentials(self) -> Iterator[tuple[Credential, ...]]:
        wanted = self.node.get("security", self.document.root.get("security", []))
        schemes = (self.document.root.get("components") or {}).get("securitySchemes") or {}
        if not isinstance(wanted, list) or any(not isinstance(each, dict) for each in wanted):
            raise self._fault("its security is no list of objects")
        if {} in wanted:
            return
        for each in wanted:
            yield tuple(self._credential(name, schemes.get(name)) for name in each)

    def _credential(self, name: str, node: Any) -> Credential:
        scheme = self.document.part(node, f"{self.name}: {name}") if node else {}
        match scheme:
            case {"type": "http", "scheme": str(way)} if way.lower() == "bearer":
                return Credential(name, "bearer", "Authorization")
            case {"type": "http", "scheme": str(way)} if way.lower() == "basic":
                return Credential(name, "basic", "Authorization")
            case {"type": "oauth2" | "openIdConnect"}:
                return Credential(name, "bearer", "Authorization")
            case {"type": "apiKey", "in": "header", "name": str(where)}:
                return Credential(name, "header", where)
            case {"type": "apiKey", "in": "query", "name": str(where)}:
                return Credential(name, "query", where)
        raise self._fault(f"the security scheme {name[:60]!r} is not known here")

    def _fault(self, said: str) -> ToolDefinitionError:
        return ToolDefinitionError(f"{self.document.name}: {self.name}: {said}")


def server_url(url: object, where: str) -> str:
    """A server's URL without a slash at its end.

    Raises:
        ToolDefinitionError: it is not whole, or neither https nor on this machine.
    """
    parts = urlsplit(url) if isinstance(url, str) else None
    local = parts is not None and parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if (
        parts is None
        or "{" in str(url)
        or not parts.hostname
        or not (parts.scheme == "https" or (parts.scheme == "http" and local))
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        raise ToolDefinitionError(
            f"{where}: the server {url!r:.120} is no whole https URL; say servers="
        )
    return str(url).rstrip("/")
