"""The HTTP host: how the daemon stands, errors in one form, and what a hostile client costs."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from serving import TOOLS
from starlette.applications import Starlette

from permissions.errors import ConfigError
from permissions.service.endpoint import Endpoint, TlsFiles, endpoint_of
from permissions.service.http import host
from permissions.setup.daemon import running
from permissions.setup.factory import open_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.service.server import Server
    from permissions.setup.config import BrokerConfig


@asynccontextmanager
async def interface(config: BrokerConfig) -> AsyncIterator[tuple[str, Server]]:
    """A daemon with its HTTP interface on a free port."""
    service = config.service.model_copy(update={"http": "127.0.0.1:0"})
    config = config.model_copy(update={"service": service})
    async with running(config, TOOLS) as daemon:
        assert daemon.url is not None
        yield daemon.url, daemon.server


def address(url: str) -> tuple[str, int]:
    found = httpx.URL(url)
    assert found.port is not None
    return found.host, found.port


async def test_it_says_how_it_stands_and_errors_are_problems(config: BrokerConfig) -> None:
    async with interface(config) as (url, server), httpx.AsyncClient(base_url=url) as client:
        alive = await client.get("/healthz")
        ready = await client.get("/readyz")
        missing = await client.get("/nothing/here")
        method = await client.post("/healthz")
        rebound = await client.get("/healthz", headers={"Host": "evil.example"})
        server.stopping.set()
        stopping = await client.get("/readyz")
        still = await client.get("/healthz")

    assert (alive.status_code, ready.status_code, still.status_code) == (200, 200, 200)
    assert rebound.status_code == 400
    for answer, status in ((missing, 404), (method, 405), (stopping, 503)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        said = answer.json()
        assert (said["type"], said["status"]) == ("about:blank", status)
        assert said["title"]
    assert "stopping" in stopping.json()["detail"]
    assert "server" not in alive.headers


@pytest.mark.slow
async def test_slow_and_broken_requests_cost_their_own_connection(
    config: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten seconds are the product's patience; what is tried is that it ends.
    monkeypatch.setattr(host, "HEADER_SECONDS", 0.3)
    async with interface(config) as (url, _):
        ends: dict[str, bytes] = {}

        async def one(name: str, data: bytes) -> None:
            async with await anyio.connect_tcp(*address(url)) as stream:
                await stream.send(data)
                found = b""
                try:
                    while True:
                        found += await stream.receive()
                except anyio.EndOfStream:
                    ends[name] = found
                except anyio.BrokenResourceError:
                    ends[name] = b"reset"

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, "nothing", b"")
            tasks.start_soon(one, "half", b"GET /healthz HTT")
            tasks.start_soon(one, "no http", b"\x16\x03\x01\x02\x00")
            tasks.start_soon(one, "long", b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000)
            again = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he"
            tasks.start_soon(one, "half of the second", again)
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/healthz")).status_code == 200

    assert ends["nothing"] == ends["half"] == b""
    assert ends["half of the second"].startswith(b"HTTP/1.1 200")
    for name in ("no http", "long"):
        assert ends[name] == b"reset" or ends[name].startswith(b"HTTP/1.1 400")


@pytest.mark.slow
async def test_who_comes_while_it_stops_is_hung_up_on() -> None:
    """Otherwise each stop takes as long as such a client likes, up to `STOP_SECONDS`."""
    came: list[socket.socket] = []
    for _ in range(8):
        closed = Event()

        def come(where: tuple[str, int], closed: Event = closed) -> None:
            with suppress(OSError):
                while not closed.is_set():
                    came.append(socket.create_connection(where, timeout=1))

        with ThreadPoolExecutor(1) as clients:
            async with host.hosting(Starlette(), Endpoint("127.0.0.1", 0), tls=None) as where:
                coming = clients.submit(come, where)
                while len(came) < 10:  # noqa: ASYNC110 - the thread tells nobody
                    await anyio.sleep(0.001)
            closed.set()
            coming.result()
        for each in came:
            each.settimeout(2)
            with suppress(ConnectionError):
                assert each.recv(1) == b""
            each.close()
        came.clear()


@pytest.mark.slow
async def test_a_console_takes_what_is_left(config: BrokerConfig) -> None:
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    from permissions.service.http.app import HttpParts, create_app

    async def page(_: Any) -> PlainTextResponse:
        return PlainTextResponse("a page")

    async with open_broker(config, TOOLS) as broker:
        console = Starlette(routes=[Route("/", page)])
        parts = HttpParts(broker, lambda: None, anyio.Event(), mounts=[Mount("/", console)])
        transport = httpx.ASGITransport(create_app(parts))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost"
        ) as client:
            assert (await client.get("/")).text == "a page"
            assert (await client.get("/readyz")).json() == {"status": "ready"}


def test_an_address_of_the_network_needs_a_certificate(tmp_path: Path) -> None:
    everywhere = "0.0.0.0:8181"
    with pytest.raises(ConfigError, match=r"service\.tls_certificate"):
        endpoint_of(everywhere).require_private(None)
    endpoint_of(everywhere).require_private(TlsFiles(tmp_path / "c", tmp_path / "k"))
    endpoint_of("[::1]:8181").require_private(None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8181",
        ":8181",
        "localhost:8181",
        "127.0.0.1",
        "127.0.0.1:",
        "1.2.3.4:70000",
        "::1:-1",
    ],
)
def test_what_names_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no address to listen on"):
        endpoint_of(text)


@pytest.mark.slow
async def test_a_taken_port_and_a_certificate_that_is_none_are_told(
    config: BrokerConfig, tmp_path: Path
) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"http": f"127.0.0.1:{taken.getsockname()[1]}"}
        with pytest.raises(ConfigError, match="cannot be listened on"):
            await _started(config, settings)
    settings = {
        "http": "127.0.0.1:0",
        "tls_certificate": tmp_path / "cert.pem",
        "tls_key": tmp_path / "cert.pem",
    }
    with pytest.raises(ConfigError, match="cannot be used"):
        await _started(config, settings)
    with pytest.raises(ConfigError, match="belong together"):
        await _started(config, {"http": "127.0.0.1:0", "tls_key": tmp_path / "cert.pem"})


async def _started(config: BrokerConfig, settings: dict[str, Any]) -> None:
    service = config.service.model_copy(update=settings)
    config = config.model_copy(update={"service": service})
    async with running(config, TOOLS):
        raise AssertionError("it started")


async def test_tls_is_spoken_where_there_is_a_certificate(
    config: BrokerConfig, authority: Any
) -> None:
    files = authority.issue("localhost")
    settings = {"tls_certificate": files.certificate, "tls_key": files.key}
    service = config.service.model_copy(update=settings)
    async with interface(config.model_copy(update={"service": service})) as (url, _):
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(authority.certificate))
        async with httpx.AsyncClient(base_url=url, verify=context) as client:
            assert (await client.get("/healthz")).json() == {"status": "alive"}
