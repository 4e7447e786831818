"""A container engine that has nothing, and fails at one thing it is asked for."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from threading import Semaphore, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.model import JsonValue


class EngineOutOfOrder(ThreadingUnixStreamServer):
    """Fails at `fails`, a part of a path, and counts the connections that were `begun`."""

    daemon_threads = True

    def __init__(self, path: Path, fails: str) -> None:
        super().__init__(str(path), _Handler)
        self.fails = fails
        self.begun = 0
        self._ended = Semaphore(0)

    def has_been_left(self) -> bool:
        """Whether every connection has ended, or does within seconds."""
        return all(self._ended.acquire(timeout=5) for _ in range(self.begun))

    def finish_request(self, request: object, client_address: object) -> None:
        """One connection, from its beginning to its end."""
        self.begun += 1
        super().finish_request(request, client_address)  # type: ignore[arg-type]  # passed on
        self._ended.release()


_SAID: dict[str, JsonValue] = {
    "version": {"ApiVersion": "1.43"},
    "info": {
        **dict.fromkeys(("MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsQuota"), True),
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "CgroupVersion": "2",
    },
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the client may keep its connection

    def do_GET(self) -> None:
        assert isinstance(self.server, EngineOutOfOrder)
        fails = self.server.fails in self.path
        said = _SAID.get(self.path.rpartition("/")[2], [])
        body = json.dumps({"message": "out of order"} if fails else said).encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def engine_out_of_order(path: Path, *, fails: str) -> Iterator[EngineOutOfOrder]:
    """Listens at a socket of this path."""
    with EngineOutOfOrder(path, fails) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
