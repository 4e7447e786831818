"""The gateway over TLS beside an authorization server that nobody here wrote.

A person signs in there in the browser's steps, and the token that comes of it counts here: a
JWT by the server's keys, an opaque one by asking about it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import shutil
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest
import untrusted_mcp
from authority import Authority
from gateways import approve_tools, say
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from permissions.gateway import run as gateway
from permissions.gateway.http import served
from permissions.service.endpoint import Endpoint
from permissions.setup.config import BrokerConfig
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.service.endpoint import TlsFiles

pytestmark = [pytest.mark.slow, pytest.mark.node]

PROGRAM = Path(__file__).parents[2] / "support" / "authorization.mjs"
PACKAGE = "oidc-provider@9.13.3"
BACK = "https://app.example/back"
RESOURCES = {"jwks": "https://mcp.example/mcp", "introspection": "https://mcp.example/opaque"}
READS = {"effect": "read", "impact": "low", "marks": {"path": "path read"}}


def free_port() -> int:
    with Endpoint("127.0.0.1", 0).bound() as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def authorization_server(folder: Path, tls: TlsFiles) -> AsyncIterator[str]:
    folder.mkdir()
    (folder / "package.json").write_text('{"type": "module"}')
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE]
    await anyio.run_process([*install, "--cache", str(folder / "cache")], cwd=folder)
    shutil.copy(PROGRAM, folder)
    port = free_port()
    command = ["node", PROGRAM.name, str(port), str(tls.certificate), str(tls.key)]
    async with await anyio.open_process(
        command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert b"ready" in await process.stdout.receive()
        try:
            yield f"https://localhost:{port}"
        finally:
            process.kill()


async def sign_in(client: httpx2.AsyncClient, user: str, resource: str) -> str:
    """As a browser does, with a person in front of it (RFC 6749 with RFC 7636 and 8707)."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    answer = await client.get(
        "/auth",
        params={
            "client_id": "desk",
            "response_type": "code",
            "scope": "openid tools",
            "redirect_uri": BACK,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "resource": resource,
        },
    )
    for _ in range(12):
        where = answer.headers["location"]
        if where.startswith(BACK):
            break
        if "/interaction/" in where:
            page = await client.get(where)
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
            assert prompt is not None, page.text
            form = {"prompt": prompt[1], "login": user, "password": "any"}
            answer = await client.post(where, data=form)
        else:
            answer = await client.get(where)
    (code,) = parse_qs(urlsplit(where).query)["code"]
    given = await client.post(
        "/token",
        auth=("desk", "desk-secret"),
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": verifier,
            "resource": resource,
        },
    )
    return str(given.json()["access_token"])


def configured(
    tmp_path: Path, kind: str, issuer: str, tls: TlsFiles, **more: Any
) -> BrokerConfig:
    work, upstream = tmp_path / kind, tmp_path / f"{kind}-shared"
    work.mkdir()
    paths = {"jwks": "/jwks", "introspection": "/token/introspection"}
    config = BrokerConfig.load(
        state=tmp_path / f"{kind}-state",
        workspace=work,
        sandbox={"backends": ()},
        gateway={
            "upstream": {
                "notes": {
                    "command": [sys.executable, untrusted_mcp.__file__, "honest", str(upstream)]
                }
            },
            "pins": tmp_path / f"{kind}-tools.toml",
            "http": {
                "issuer": issuer,
                kind: issuer + paths[kind],
                "url": RESOURCES[kind],
                "client_id": "gateway",
                "client_secret": "gateway-secret",
                "scopes": ("tools",),
                "tls_certificate": tls.certificate,
                "tls_key": tls.key,
                **more,
            },
        },
    )
    approve_tools(config, "notes", untrusted_mcp.tools("honest", upstream), **READS)
    return config


@asynccontextmanager
async def serving(config: BrokerConfig) -> AsyncIterator[str]:
    port = free_port()
    async with (
        gateway.open_gateway(config, user=None, version="1") as server,
        served(server, config.gateway.http, f"127.0.0.1:{port}"),
    ):
        yield f"https://localhost:{port}/mcp"


async def test_a_token_that_a_person_got_by_signing_in_counts_until_it_is_revoked(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    tls = authority.issue("localhost")
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    ping = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    said: dict[str, Any] = {}
    statuses: dict[str, list[int]] = {"jwks": [], "introspection": []}

    async def status(url: str, token: str) -> int:
        headers = {**accept, "Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(verify=trusting, headers=headers) as http:
            return (await http.post(url, json=ping)).status_code

    async with (
        authorization_server(tmp_path / "as", tls) as issuer,
        httpx2.AsyncClient(verify=trusting, base_url=issuer) as browser,
    ):
        tokens = {
            kind: await sign_in(browser, "alice", resource)
            for kind, resource in RESOURCES.items()
        }
        for kind, token in tokens.items():
            config = configured(tmp_path, kind, issuer, tls, ca=authority.certificate)
            async with serving(config) as url:
                other = tokens["jwks" if kind == "introspection" else "introspection"]
                headers = {"Authorization": f"Bearer {token}"}
                async with (
                    httpx2.AsyncClient(verify=trusting, headers=headers, timeout=60) as http,
                    Client(streamable_http_client(url, http_client=http)) as client,
                ):
                    said[kind] = await say(client, "notes__read_note", {"path": "a.txt"})
                statuses[kind] += [await status(url, other), await status(url, token + "x")]
                if kind == "introspection":
                    await browser.post(
                        "/token/revocation",
                        auth=("desk", "desk-secret"),
                        data={"token": token},
                    )
                    statuses[kind].append(await status(url, token))
            (run,) = [
                each
                for each in read_entries(config.state / "trace")
                if each.type == "run.start"
            ]
            assert "alice" in str(run.body["subject"])
            assert "desk" in str(run.body["subject"])
        unknown = configured(tmp_path / "as", "jwks", issuer, tls)  # of no public authority
        async with serving(unknown) as url:
            untrusted = await status(url, tokens["jwks"])

    assert said == {kind: (False, f"note of {tmp_path / kind / 'a.txt'}") for kind in RESOURCES}
    assert statuses == {"jwks": [401, 401], "introspection": [401, 401, 401]}
    assert untrusted == 401
