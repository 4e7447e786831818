"""A broker tells people elsewhere that a call waits, once, and goes on when nobody listens."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Annotated

import anyio
from people import KEYS

from permissions.model import Denial
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from wardline import FreeText, tool

if TYPE_CHECKING:
    from pathlib import Path


@tool(effect="irreversible", impact="high")
def erase(name: Annotated[str, FreeText()]) -> str:
    """Erases."""
    return f"erased {name}"


async def test_a_request_is_told_with_a_link(tmp_path: Path) -> None:
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        config = BrokerConfig.load(
            state=tmp_path / "state",
            workspace=tmp_path,
            approvers={
                "bob": ApproverConfig(groups=("operators",), public_key=str(KEYS["bob"].public))
            },
            approval={"notify": {"chat": f"http://127.0.0.1:{server.server_port}/x"}},
            service={"url": "https://approve.example.com"},
            sandbox={"backends": ()},
        )
        async with (
            open_broker(config, [erase]) as broker,
            open_session(broker, user="alice", approval_mode="suspend") as session,
        ):
            asked = await broker.call(session, ToolCall("erase", {"name": "the secret plan"}))
            assert isinstance(asked, Denial)
            with anyio.fail_after(60):
                while not got:  # noqa: ASYNC110 - a thread gets it
                    await anyio.sleep(0.01)
        server.shutdown()
        thread.join()

    text = json.loads(got[0])["text"]
    assert f"https://approve.example.com/requests/{asked.access_request}" in text
    assert "secret plan" not in text
