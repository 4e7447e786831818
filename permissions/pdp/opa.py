"""Decisions from a running OPA server, through opa-python-client's query call.

The only importer of `opa_client`; none of its errors, nor aiohttp's, leaves this file. The
client is asyncio only, so this decision point is too: entering it elsewhere is a
`ConfigError`.

What the client leaves open is closed here: builtin errors are strict, or the server turns
them into undefined and a `not` over them into true; one deadline spans the whole question,
waiting for a free connection included; nothing is asked twice (the client repeats every 500,
which is how OPA answers a rule conflict); an answer without `result` is undefined and never
false; OPA's own error code is kept; redirects are not followed, for they would carry the
token along. Its policy upload, which rewrites policies, is never called.

At start the content of every module and table under `data.wardline` is compared with the
bundle this decision point was given, and each answer has to come from the bundle of that
revision (`permissions.pdp.opa_bundle` writes it into the manifest). So a server that was
loaded with something else, or reloads, is refused.

Not protected from: whoever controls the server's process or, over plain http, the network to
it. They can answer anything. Keep the server on loopback or behind TLS.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import orjson

from permissions.errors import (
    ConfigError,
    PdpAnswerError,
    PdpError,
    PdpTimeoutError,
    PdpUnavailableError,
    PdpUndefinedError,
    PolicyLoadError,
    SigningError,
)
from permissions.logs import get_logger
from permissions.model import Decision
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.input_json import input_bytes
from permissions.pdp.linker.linked import LinkedBundle, link
from permissions.signing.canonical import canonical

try:
    import aiohttp
    from opa_client.opa_async import AsyncOpaClient
except ImportError as missing:
    raise ConfigError(
        "the OPA decision point needs opa-python-client; install wardline[opa]"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from permissions.model import Digest, JsonObject
    from permissions.pdp.bundle import PolicyBundle

OLDEST_VERSION = (1, 0)
"""The first OPA whose default language is Rego v1."""

_STRICT = {"strict-builtin-errors": "true", "provenance": "true"}
_CODE = re.compile(r"[a-z_]{1,60}")

log = get_logger("opa")


class OpaPdp:
    """A `PolicyDecisionPoint` over one OPA server.

    Args:
        bundle: what the server has to serve.
        url: `http://host:port` or `https://host:port`, no path.
        token: bearer token, or None.
        deadline_seconds: longest time for one question, all waiting included.
        max_concurrent: questions in flight; more wait within their deadline.
    """

    def __init__(
        self,
        bundle: PolicyBundle,
        *,
        url: str,
        token: str | None = None,
        deadline_seconds: float,
        max_concurrent: int = 32,
    ) -> None:
        self._bundle = bundle
        self._linked = LinkedBundle(bundle.modules)
        self._package, self._rule = _asked(self._linked)
        self._reads_history = bundle.reads_history()
        self._client = _client(url, token)
        self._deadline_seconds = deadline_seconds
        self._free = anyio.Semaphore(max_concurrent)
        self._version = ""
        self._resources = AsyncExitStack()

    @property
    def revision(self) -> Digest:
        """Digest of the bundle that every answer has to come from."""
        return self._bundle.revision

    @property
    def engine(self) -> str:
        """`opa/` and the server's version, and the linker's, known once entered."""
        return self._linked.named(f"opa/{self._version}")

    @property
    def reads_history(self) -> bool:
        """Whether a module of the bundle may read `context.history`."""
        return self._reads_history

    async def __aenter__(self) -> Self:
        """Connects, and checks health, version and every module and table served.

        Raises:
            ConfigError: not on asyncio, or a version that does not speak Rego v1.
            PdpUnavailableError: the server is down or refuses the questions.
            PdpTimeoutError: it does not answer.
            PolicyLoadError: it serves other policies than the bundle's.
        """
        self._linked = await anyio.to_thread.run_sync(link, self._bundle)
        self._package, self._rule = _asked(self._linked)
        async with AsyncExitStack() as resources:
            try:
                await resources.enter_async_context(self._client)
            except RuntimeError as err:
                raise ConfigError("the OPA decision point runs on asyncio only") from err
            with self._translated():
                self._version = _supported(await self._client.served_version())
                _same_content(
                    self._linked.modules,
                    self._bundle.data,
                    await self._client.served_modules(),
                    await self._client.served_tables(),
                )
            if (await self.evaluate({})).permitted:
                raise PolicyLoadError(
                    ["main: opa.permits_nothing: an empty input is permitted; deny by default"]
                )
            self._resources = resources.pop_all()
        log.info("opa_connected", engine=self.engine, revision=self.revision)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the connections. The server itself is the operator's."""
        await self._resources.aclose()

    async def evaluate(
        self, document: JsonObject, *, meanwhile: Callable[[], None] | None = None
    ) -> Decision:
        """Asks the entrypoint with `document` as input; see `PolicyDecisionPoint.evaluate`."""
        asked = orjson.loads(input_bytes(document))
        if self._client._session is None:  # noqa: SLF001 - the client has no other sign of it
            raise PdpUnavailableError("the decision point is not running")
        if meanwhile is not None:
            meanwhile()  # now: the client asks and waits in one
        with self._translated():
            async with self._free:
                body = await self._client.query_rule(
                    asked, self._package, self._rule, query_params=_STRICT
                )
        return Decision.from_response(_result(body, self.revision))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """One deadline over everything inside, and only this package's errors out of it."""
        try:
            with anyio.fail_after(self._deadline_seconds):
                yield
        except TimeoutError as err:
            raise PdpTimeoutError(
                f"the OPA server did not answer within {self._deadline_seconds:g} s"
            ) from err
        except aiohttp.ContentTypeError as err:
            raise PdpAnswerError("the OPA server's answer is not JSON") from err
        except (aiohttp.ClientError, OSError) as err:
            raise PdpUnavailableError(
                f"the OPA server cannot be reached ({type(err).__name__}); is it running?"
            ) from err
        except ValueError as err:
            raise PdpAnswerError("the OPA server's answer is not JSON") from err


class _Client(AsyncOpaClient):  # type: ignore[misc]  # the client has no types
    """The query client, without its retries and with OPA's error codes."""

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: str,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Asks once. The client's own version repeats what the server already answered."""
        async with self._session.request(
            method, url, allow_redirects=False, **options
        ) as response:
            if response.status != 200:
                raise await _refusal(response)
            yield response

    async def served_version(self) -> str:
        """The server's version, as its provenance has it. A bad health is an error status."""
        async with self._request("GET", f"{self.schema}{self.host}:{self.port}/health"):
            pass
        async with self._request(
            "GET", f"{self.root_url}/data/wardline/none?provenance=true"
        ) as response:
            return str(_member(await response.json(), "provenance").get("version", ""))

    async def served_modules(self) -> list[str]:
        """The text of each served module whose package is below `data.wardline`."""
        async with self._request("GET", f"{self.root_url}/policies") as response:
            body = await response.json()
        try:
            return [
                module["raw"]
                for module in body["result"]
                if [part["value"] for part in module["ast"]["package"]["path"][:2]]
                == ["data", "wardline"]
            ]
        except (KeyError, TypeError) as err:
            raise PdpAnswerError(
                "the OPA server's list of policies is of another form"
            ) from err

    async def served_tables(self) -> JsonObject:
        """The served data: what policies read beside the input."""
        async with self._request("GET", f"{self.root_url}/data/wardline/tables") as response:
            body = await response.json()
        return _member(body, "result") if "result" in body else {}


def _client(url: str, token: str | None) -> _Client:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as err:
        raise ConfigError("the OPA server's URL has no valid port") from err
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path not in {"", "/"}
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        raise ConfigError(
            "the OPA server's URL must be http://host:port or https://host:port and nothing else"
        )
    secure = parts.scheme == "https"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return _Client(
        host=host,
        port=port or (443 if secure else 8181),
        ssl=secure,
        token=token,
        timeout=None,  # `_translated` sets the one that counts
    )


async def _refusal(response: aiohttp.ClientResponse) -> PdpError:
    """The error for an answer that is none, with OPA's code and never its text.

    OPA's messages quote values of the input.
    """
    try:
        body = await response.json()
    except (aiohttp.ClientError, ValueError):
        body = None
    codes = _codes(body)
    if any(code.startswith("eval_") for code in codes):
        return PdpAnswerError(f"the policy failed on the OPA server ({', '.join(codes)})")
    return PdpUnavailableError(
        f"the OPA server answered {response.status} ({', '.join(codes) or 'no code'})"
    )


def _codes(body: Any) -> list[str]:
    """OPA's codes: of the answer, then of the errors in it."""
    if not isinstance(body, dict):
        return []
    errors = body.get("errors")
    said = [body, *(errors[:20] if isinstance(errors, list) else [])]
    found = [str(part.get("code")) for part in said if isinstance(part, dict)]
    return [code for code in dict.fromkeys(found) if _CODE.fullmatch(code)]


def _result(body: Any, revision: Digest) -> Any:
    """The answer's value, when it was made under the bundle of this revision."""
    bundles = _member(_member(body, "provenance"), "bundles", default={})
    served = {entry.get("revision") for entry in bundles.values() if isinstance(entry, dict)}
    if revision not in served:
        raise PdpUnavailableError(
            f"the OPA server answers under another bundle than {revision[:19]}…;"
            " load the bundle that was configured, then start again"
        )
    if "result" not in body:
        raise PdpUndefinedError(f"{ENTRYPOINT} has no value for this input")
    return body["result"]


def _member(body: Any, name: str, default: JsonObject | None = None) -> JsonObject:
    value = body.get(name, default) if isinstance(body, dict) else None
    if not isinstance(value, dict):
        raise PdpAnswerError(f"the OPA server's answer has no {name}")
    return value


def _supported(version: str) -> str:
    numbers = re.match(r"(\d{1,6})\.(\d{1,6})", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise ConfigError(f"the OPA server is version {version[:20]!r}; {oldest} is the oldest")
    return version


def _equal(one: JsonObject, other: JsonObject) -> bool:
    try:
        return canonical(one) == canonical(other)
    except SigningError:
        return False


def _asked(linked: LinkedBundle) -> tuple[str, str]:
    """The package and the rule of the entrypoint, as the client wants them."""
    package, _, rule = linked.entrypoint.removeprefix("data.").rpartition(".")
    return package, rule


def _same_content(
    wanted_modules: Mapping[str, str],
    data: JsonObject,
    modules: list[str],
    tables: JsonObject,
) -> None:
    wanted, served = Counter(wanted_modules.values()), Counter(modules)
    findings = [
        f"{path}:1:1: opa.missing: the server does not serve this module; load the bundle"
        for path, text in wanted_modules.items()
        if text not in served
    ]
    if extra := (served - wanted).total():
        findings.append(
            f"wardline:1:1: opa.extra: the server serves {extra} more modules below"
            " data.wardline; load the bundle and nothing beside it"
        )
    expected = data.get("wardline", {}).get("tables", {})
    if not _equal(tables, expected):
        findings.append(
            "data:1:1: opa.data: the server's data.wardline.tables differ; load the bundle"
        )
    if findings:
        raise PolicyLoadError(findings)
