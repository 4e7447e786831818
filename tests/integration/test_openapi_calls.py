"""Calls of OpenAPI operations, to a service on this machine."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import yaml
from anyio.abc import SocketAttribute

from permissions.errors import ToolFailedError
from permissions.integrations.openapi import guard_openapi
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.abc import SocketStream

PETS = """
openapi: 3.0.3
info: {title: Pets, version: "1"}
servers: [{url: https://pets.example/v1/}]
security: [{token: []}]
paths:
  /pets/{petId}:
    get:
      operationId: getPet
      parameters:
        - {name: petId, in: path, required: true, schema: {type: string, maxLength: 9}}
components: {securitySchemes: {token: {type: http, scheme: bearer}}}
"""


@contextmanager
def service(seen: list[tuple[str, str, str | None]]) -> Iterator[str]:
    """A service on this machine, which notes what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.command, self.path, self.headers["Authorization"]))
            elsewhere = self.path.startswith("/v1/pets/moved")
            body = (
                b"x" * (5 << 20) if "huge" in self.path else json.dumps({"pet": "Rex"}).encode()
            )
            self.send_response(302 if elsewhere else 404 if "gone" in self.path else 200)
            if elsewhere:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
async def test_calls_are_decided_with_their_host_and_sent_with_their_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, awaited: bool
) -> None:
    (tmp_path / "secrets").mkdir(mode=0o700)
    (tmp_path / "secrets" / "pets").write_text("hush-hush-hush")
    (tmp_path / "secrets" / "pets").chmod(0o600)
    (tmp_path / "wardline.toml").write_text('sandbox.secrets = "secrets"\n')
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.yaml").write_text(PETS)
    asked: list[Any] = []
    seen: list[Any] = []

    def decide(document: Any) -> Any:
        asked.append(document["resource"]["properties"])
        return permitted()

    with service(seen) as url:
        (get,) = guard_openapi(
            tmp_path / "pets.yaml",
            {"getPet": {"effect": "read", "impact": "low", "marks": {"petId": "resource"}}},
            only=["getPet"],
            servers=[url],
            secrets={"token": "secret://pets"},
            awaited=awaited,
        )
        async with (
            memory_broker([get], decide=decide) as broker,
            open_session(broker, user="kim") as session,
        ):
            said = {
                each: await broker.call(session, ToolCall("getPet", {"petId": each}))
                for each in ("rex", "gone")
            }
            for each in ("moved", "huge"):
                with pytest.raises(ToolFailedError):
                    await broker.call(session, ToolCall("getPet", {"petId": each}))

    rex, gone = said["rex"], said["gone"]
    assert isinstance(rex, Completed)
    assert isinstance(gone, Completed)
    assert rex.value == {"status": 200, "body": {"pet": "Rex"}}
    assert gone.value["status"] == 404
    assert {each[2] for each in seen} == {"Bearer hush-hush-hush"}
    (host,) = [each for each in asked[0]["targets"] if each["kind"] == "host"]
    assert (host["argument"], host["host"]) == ("server", "127.0.0.1")
    assert "hush" not in json.dumps([asked, rex.value])


@pytest.mark.slow
async def test_an_awaited_call_that_is_given_up_ends_its_connection() -> None:
    """The service never answers, and sees that nobody listens any more."""
    pets = PETS.replace("security: [{token: []}]\n", "")
    came, gone = anyio.Event(), anyio.Event()

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            came.set()
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.receive()
            gone.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no database
        (get,) = guard_openapi(
            yaml.safe_load(pets),
            {"getPet": {"effect": "read", "impact": "low", "marks": {"petId": "resource"}}},
            servers=[f"http://127.0.0.1:{port}/v1"],
            awaited=True,
        )
        async with (
            memory_broker([get], decide=lambda _: permitted()) as broker,
            open_session(broker, user="kim") as session,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, handle)
            async with anyio.create_task_group() as calls:
                calls.start_soon(broker.call, session, ToolCall("getPet", {"petId": "rex"}))
                await came.wait()
                calls.cancel_scope.cancel()
            await gone.wait()
            tasks.cancel_scope.cancel()
