"""Operations of an OpenAPI document under the broker: `guard_openapi`, and who sends requests.

Each operation is a tool whose arguments are its parameters, its JSON body, and `server`: where
the request goes is an argument with a mark, so policies judge the host as of any other tool.
Credentials are handles; their values are put into the request here, at the edge, and no tool,
policy or record sees them. No redirect is followed: it leads where nobody decided.

Needs `pip install 'wardline[openapi]'`.

Not protected from: a service that does something else than its document says, or sends a
credential back; and a name that leads to another address than when it was listed.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from permissions.errors import ConfigError, ToolDefinitionError, ToolFailedError
from permissions.setup.config import BrokerConfig
from permissions.setup.sandboxes import secret_value
from permissions.tools.from_schema import tool_from_schema
from permissions.tools.guarding import named_marks
from permissions.tools.manifest import read_manifest
from permissions.tools.openapi.document import Document
from permissions.tools.openapi.operation import (
    SERVER,
    Operation,
    Unreadable,
    operations,
    server_url,
)
from permissions.tools.openapi.request import request_of
from permissions.tools.targets import HostArg

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from httpx2 import Response

    from permissions.tools.decorator import GuardedTool
    from permissions.tools.openapi.operation import Credential
    from permissions.tools.openapi.request import Request
    from permissions.vocabulary import JsonObject

MAX_ANSWER = 4 * 1024 * 1024
ANSWER_SECONDS = 60.0


def guard_openapi(
    document: Path | str | Mapping[str, Any],
    manifest: Path | str | Mapping[str, Any] | None = None,
    *,
    only: Iterable[str] | None = None,
    servers: Iterable[str] = (),
    secrets: Mapping[str, str] | None = None,
    awaited: bool = False,
) -> list[GuardedTool[..., Any]]:
    """Puts operations of an HTTP service under the broker.

    Of what the manifest does not say the worst is thought, as of any tool of others: a `GET`
    that nobody described counts as one that runs any code.

    Args:
        document: OpenAPI 3.0 or 3.1, as a file (JSON, YAML) or read already.
        manifest: file, or the table `tools` of one: options and marks by the operation's name.
        only: these operations; all by default.
        servers: where calls may go, instead of what the document names.
        secrets: handles (`secret://crm`) by the names of the document's security schemes.
        awaited: the tools are async: a call holds no thread, and ends where it is given up.

    Raises:
        ConfigError: the library that sends requests is not there.
        ToolDefinitionError: the document or an operation of it cannot be read, needs a
            credential without a handle, or cannot be guarded as the manifest says.
    """
    if find_spec("httpx2") is None:
        raise ConfigError("calling a service needs `pip install 'wardline[openapi]'`")
    read = (
        Document.read(Path(document))
        if isinstance(document, Path | str)
        else Document.of(document)
    )
    known = (
        read_manifest(manifest) if isinstance(manifest, Path | str) else dict(manifest or {})
    )
    urls = tuple(server_url(each, "servers") for each in servers)
    wanted = None if only is None else set(only)
    found = {
        each.name: each
        for each in operations(read, servers=urls)
        if wanted is None or each.name in wanted
    }
    for what, names in (("only", wanted or ()), ("the manifest", known)):
        if unknown := sorted(set(names) - found.keys()):
            raise ToolDefinitionError(
                f"{what} names {unknown[0]!r:.60}, and {read.name} has no such operation"
            )
    made = []
    for each in found.values():
        if isinstance(each, Unreadable):
            raise ToolDefinitionError(f"{each.fault}; name the others in only=") from each.fault
        caller = _async_caller if awaited else _caller
        run = caller(each, _handles(each, secrets or {}))
        made.append(operation_tool(each, run, known.get(each.name, {})))
    return made


def operation_tool(
    operation: Operation, run: Callable[..., Any], options: Mapping[str, Any]
) -> GuardedTool[..., Any]:
    """An operation as a tool.

    Raises:
        ToolDefinitionError: it cannot be guarded so.
    """
    given = dict(options)
    marks = {SERVER: HostArg(), **named_marks(given.pop("marks", {}))}
    return tool_from_schema(
        run,
        name=operation.name,
        parameters=operation.schema,
        description=given.pop("description", operation.description),
        marks=marks,
        **given,
    )


def _handles(operation: Operation, secrets: Mapping[str, str]) -> dict[Credential, str]:
    """The handle of each credential of the first alternative that has all of them."""
    for each in operation.credentials:
        if all(one.scheme in secrets for one in each):
            return {one: secrets[one.scheme] for one in each}
    if operation.credentials:
        schemes = " or ".join(
            " and ".join(one.scheme for one in each) for each in operation.credentials
        )
        raise ToolDefinitionError(
            f"{operation.name}: needs a credential of {schemes}; say secrets={{NAME:"
            ' "secret://HANDLE"}'
        )
    return {}


def _caller(operation: Operation, handles: Mapping[Credential, str]) -> Callable[..., Any]:
    def call(**arguments: Any) -> JsonObject:
        return _sent(_request(operation, handles, arguments))

    return call


def _async_caller(
    operation: Operation, handles: Mapping[Credential, str]
) -> Callable[..., Any]:
    async def call(**arguments: Any) -> JsonObject:
        made = partial(_request, operation, handles, arguments)
        return await _sent_async(await to_thread.run_sync(made))

    return call


def _request(
    operation: Operation, handles: Mapping[Credential, str], arguments: JsonObject
) -> Request:
    """What is sent, with the values of its credentials. Blocking.

    Raises:
        ToolFailedError: an argument or a credential cannot be sent.
    """
    config = BrokerConfig.load() if handles else None
    try:
        values = {
            each: secret_value(config, handle) for each, handle in handles.items() if config
        }
    except ConfigError as err:
        raise ToolFailedError(str(err)) from err
    return request_of(operation, arguments, values)


def _sent(request: Request) -> JsonObject:
    """What the service answered.

    Raises:
        ToolFailedError: it gave none, one that is too long, or leads elsewhere.
    """
    import httpx2

    body = bytearray()
    with (
        _answering(),
        httpx2.Client(**_options()) as client,
        client.stream(**_asked(request)) as answer,
    ):
        _require_final(answer)
        for part in answer.iter_bytes():
            _add(body, part)
    return _told(answer, body)


async def _sent_async(request: Request) -> JsonObject:
    """As `_sent`; cancelling ends the connection."""
    import httpx2

    body, options = bytearray(), await to_thread.run_sync(_options)
    with _answering():
        async with (
            httpx2.AsyncClient(**options) as client,
            client.stream(**_asked(request)) as answer,
        ):
            _require_final(answer)
            async for part in answer.aiter_bytes():
                _add(body, part)
    return _told(answer, body)


def _options() -> dict[str, Any]:
    return {
        "follow_redirects": False,
        "trust_env": False,
        "timeout": ANSWER_SECONDS,
        "verify": _authorities(),
    }


def _asked(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "content": request.content,
    }


@contextmanager
def _answering() -> Iterator[None]:
    import httpx2

    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL) as err:
        raise ToolFailedError(f"gave no answer ({type(err).__name__})") from None


def _require_final(answer: Response) -> None:
    if answer.has_redirect_location:
        raise ToolFailedError(
            f"{answer.status_code}: it leads elsewhere, which is not followed"
        )


def _add(body: bytearray, part: bytes) -> None:
    body += part
    if len(body) > MAX_ANSWER:
        raise ToolFailedError(f"an answer of over {MAX_ANSWER} bytes")


def _told(answer: Response, body: bytearray) -> JsonObject:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return {"status": answer.status_code, "body": _read(kind, bytes(body))}


@cache
def _authorities() -> ssl.SSLContext:
    """Those of public sites; to read them takes longer than most calls."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


def _read(kind: str, body: bytes) -> Any:
    import orjson

    if kind == "application/json" or kind.endswith("+json"):
        try:
            return orjson.loads(body)
        except ValueError:
            pass
    return body.decode(errors="replace")
