"""The gateway over HTTP, a real authorization server's keys, and an upstream that is reached by URL."""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import jwt
import pytest
import untrusted_mcp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateways import approve, say
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from permissions.errors import ConfigError
from permissions.gateway import run as gateway
from permissions.gateway.http import served
from permissions.service.endpoint import Endpoint
from permissions.service.http.host import hosting
from permissions.setup.config import BrokerConfig
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.slow

ISSUER, RESOURCE = "https://login.example", "https://mcp.example/mcp"
KEY = Ed25519PrivateKey.generate()
READS = {"effect": "read", "impact": "low", "marks": {"path": "path read"}}


@asynccontextmanager
async def issuer() -> AsyncIterator[str]:
    """An authorization server; gives the URL of its keys."""
    public: dict[str, Any] = jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    keys = {"keys": [{**public, "kid": "k1", "alg": "EdDSA"}]}

    async def jwks(_: Any) -> JSONResponse:
        return JSONResponse(keys)

    app = Starlette(routes=[Route("/jwks", jwks)])
    async with hosting(app, Endpoint("127.0.0.1", 0), tls=None) as (host, port):
        yield f"http://{host}:{port}/jwks"


def token(user: str = "alice", **claims: Any) -> str:
    said = {
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": user,
        "client_id": "desk",
        "scope": "tools",
        "exp": int(time.time()) + 600,
        **claims,
    }
    return jwt.encode(said, KEY, algorithm="EdDSA", headers={"kid": "k1"})


@dataclass
class Serving:
    """A gateway that answers."""

    port: int
    config: BrokerConfig

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def http(self, bearer: str | None, **headers: str) -> httpx2.AsyncClient:
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        return httpx2.AsyncClient(headers=headers, timeout=60)

    @asynccontextmanager
    async def client(self, bearer: str, mode: Any = "auto") -> AsyncIterator[Client]:
        async with (
            self.http(bearer) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            yield client


def free_port() -> int:
    with Endpoint("127.0.0.1", 0).bound() as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def serving(tmp_path: Path, upstream: dict[str, Any]) -> AsyncIterator[Serving]:
    (tmp_path / "work").mkdir()
    async with issuer() as jwks:
        config = BrokerConfig.load(
            state=tmp_path / "state",
            workspace=tmp_path / "work",
            sandbox={"backends": (), "secrets": tmp_path / "secrets"},
            gateway={
                "upstream": {"notes": upstream},
                "pins": tmp_path / "gateway-tools.toml",
                "http": {
                    "issuer": ISSUER,
                    "jwks": jwks,
                    "url": RESOURCE,
                    "scopes": ("tools",),
                },
            },
        )
        await approve(config, **READS)
        port = free_port()
        async with (
            gateway.open_gateway(config, user=None, version="1") as server,
            served(server, config.gateway.http, f"127.0.0.1:{port}"),
        ):
            yield Serving(port, config)


def honest(tmp_path: Path) -> dict[str, Any]:
    return {"command": [sys.executable, untrusted_mcp.__file__, "honest", str(tmp_path / "s")]}


async def test_each_principal_has_a_run_of_their_own_in_both_eras(tmp_path: Path) -> None:
    async with serving(tmp_path, honest(tmp_path)) as gate:
        for user, mode in (("alice", "auto"), ("bob", "legacy"), ("alice", "legacy")):
            async with gate.client(token(user), mode) as client:
                allowed = await say(client, "notes__read_note", {"path": "a.txt"})
                refused = await say(client, "notes__read_note", {"path": "/etc/passwd"})
            assert not allowed[0], allowed
            assert refused[0]

    runs = [
        str(each.body["subject"])
        for each in read_entries(gate.config.state / "trace")
        if each.type == "run.start"
    ]
    assert ["alice" in runs[0], "bob" in runs[1]] == [True, True]
    assert len(runs) == 2


LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
JSON = {"Accept": "application/json, text/event-stream"}


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (None, 401),
        ({"aud": "https://other.example/mcp"}, 401),
        ({"iss": "https://evil.example"}, 401),
        ({"exp": 1}, 401),
        ({"scope": "other"}, 403),
    ],
    ids=["no-token", "audience", "issuer", "expired", "scope"],
)
async def test_who_has_no_token_for_this_resource_is_told_where_to_get_one(
    tmp_path: Path, claims: dict[str, Any] | None, status: int
) -> None:
    """RFC 9728: the challenge names the metadata, and that the authorization server."""
    async with serving(tmp_path, honest(tmp_path)) as gate:
        bearer = None if claims is None else token(**claims)
        async with gate.http(bearer, **JSON) as http:
            answer = await http.post(gate.url, json=LIST)
            challenge = answer.headers["www-authenticate"]
            metadata = await http.get(
                f"http://127.0.0.1:{gate.port}/.well-known/oauth-protected-resource/mcp"
            )

    assert answer.status_code == status
    assert "https://mcp.example/.well-known/oauth-protected-resource/mcp" in challenge
    said = metadata.json()
    assert said["resource"] == RESOURCE
    assert said["authorization_servers"] == [ISSUER]
    assert said["scopes_supported"] == ["tools"]


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("Host", "evil.example", 421), ("Origin", "https://evil.example", 403)],
    ids=["host", "origin"],
)
async def test_a_web_page_of_others_does_not_reach_it(
    tmp_path: Path, header: str, value: str, status: int
) -> None:
    async with (
        serving(tmp_path, honest(tmp_path)) as gate,
        gate.http(token(), **JSON, **{header: value}) as http,
    ):
        answer = await http.post(gate.url, json=LIST)

    assert answer.status_code == status


async def test_a_session_of_somebody_else_is_no_session(tmp_path: Path) -> None:
    begin = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "x", "version": "1"},
        },
    }
    async with serving(tmp_path, honest(tmp_path)) as gate:
        async with gate.http(token("alice"), **JSON) as http:
            opened = await http.post(gate.url, json=begin)
        session = opened.headers["mcp-session-id"]
        async with gate.http(token("bob"), **JSON, **{"Mcp-Session-Id": session}) as http:
            answer = await http.post(gate.url, json=LIST)

    assert answer.status_code in {401, 403, 404}


@asynccontextmanager
async def remote_upstream(seen: list[dict[str, str]]) -> AsyncIterator[str]:
    """A server of somebody else, over HTTP, which notes the headers of every request."""
    schema = {
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
    }

    async def list_tools(_: Any, __: Any) -> ListToolsResult:
        tool = Tool(name="read_note", description="Reads a note.", input_schema=schema)
        return ListToolsResult(tools=[tool])

    async def call_tool(_: Any, asked: Any) -> CallToolResult:
        text = "x" * (20 * 1024 * 1024) if asked.arguments["path"].endswith("huge") else "note"
        return CallToolResult(content=[TextContent(text=text)])

    server = Server("remote", on_list_tools=list_tools, on_call_tool=call_tool)
    app = server.streamable_http_app(json_response=True)

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        seen.append({k.decode(): v.decode("latin-1") for k, v in scope["headers"]})
        await app(scope, receive, send)

    async with (
        server.session_manager.run(),
        hosting(noted, Endpoint("127.0.0.1", 0), tls=None) as (host, port),  # type: ignore[arg-type]
    ):
        yield f"http://{host}:{port}/mcp"


async def test_an_upstream_by_url_gets_its_own_credential_and_nobody_elses(
    tmp_path: Path,
) -> None:
    """And an answer without end is given up."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "crm").write_text("upstream-secret\n")
    (secrets / "crm").chmod(0o600)
    seen: list[dict[str, str]] = []
    bearer = token()
    async with remote_upstream(seen) as url:
        upstream = {"url": url, "secret": "secret://crm"}
        async with (
            serving(tmp_path, upstream) as gate,
            gate.client(bearer) as client,
        ):
            answered = await say(client, "notes__read_note", {"path": "a.txt"})
            huge = await say(client, "notes__read_note", {"path": "huge"})
            again = await say(client, "notes__read_note", {"path": "a.txt"})

    assert answered == again == (False, "note")
    assert huge[0] is True
    assert {each["authorization"] for each in seen} == {"Bearer upstream-secret"}
    assert not [each for each in seen if bearer in str(each)]
    for path in gate.config.state.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"upstream-secret" not in data, path
            assert bearer.encode() not in data, path


@pytest.mark.parametrize(
    ("http", "address", "said"),
    [
        ({"issuer": ""}, "127.0.0.1:0", "issuer"),
        ({"jwks": ""}, "127.0.0.1:0", "jwks"),
        ({"jwks": "http://login.example/jwks"}, "127.0.0.1:0", "neither https nor local"),
        ({}, "0.0.0.0:0", "reached over the network"),
        ({"url": "no url"}, "127.0.0.1:0", "no URL"),
        ({"ca": "/dev/null"}, "127.0.0.1:0", "no certificate authorities"),
        ({"jwks": "", "introspection": "https://x.example/i"}, "127.0.0.1:0", "client_secret"),
    ],
    ids=["issuer", "keys", "plain", "network", "url", "ca", "secret"],
)
async def test_what_would_not_be_safe_is_not_served(
    tmp_path: Path, http: dict[str, str], address: str, said: str
) -> None:
    given = {"issuer": ISSUER, "jwks": "https://login.example/jwks", "url": RESOURCE, **http}
    config = BrokerConfig.load(state=tmp_path / "state", gateway={"http": given})

    with pytest.raises(ConfigError, match=said):
        async with served(Server("x"), config.gateway.http, address):
            pass
