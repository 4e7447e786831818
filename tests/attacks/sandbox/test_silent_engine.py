"""An engine that accepts and never answers: each call is refused at its own deadline."""

from __future__ import annotations

import gc
import socket
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from sandbox import CommandJob, SandboxProfile, SandboxSession, SandboxUnavailableError
from sandbox.backends.docker import DockerSandbox
from sandbox.job import PythonJob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GENEROUS = 12.0
"""Far below the half minute that one request to an engine may take."""

pytestmark = [
    pytest.mark.parametrize("anyio_backend", ["trio"]),
    # The SDK leaves its socket open when nobody answers.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextmanager
def mute(path: Path, *, answers: tuple[bytes, ...] = ()) -> Iterator[None]:
    """A socket that takes connections and requests, answers the first so many, and no more."""
    waiting = list(answers)
    held: list[socket.socket] = []
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen(64)

        def serve(connection: socket.socket) -> None:
            while data := connection.recv(65536):
                if b"\r\n\r\n" in data and waiting:
                    connection.sendall(waiting.pop(0))

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                threading.Thread(target=quietly, args=(connection,), daemon=True).start()

        def quietly(connection: socket.socket) -> None:
            try:
                serve(connection)
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for each in held:
                with closing(each):
                    each.shutdown(socket.SHUT_RDWR)


def json_answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


INFO = (
    b'{"MemoryLimit":true,"SwapLimit":true,"PidsLimit":true,"CpuCfsQuota":true,'
    b'"SecurityOptions":["name=seccomp"],"Runtimes":{"runc":{}},"DefaultRuntime":"runc"}'
)
VERSION = json_answer(b'{"ApiVersion":"1.41","MinAPIVersion":"1.24"}')
IMAGE = json_answer(b'{"Id":"sha256:%s","Config":{}}' % (b"0" * 64))
HANGS = {
    "at once": (),
    "when it is described": (VERSION,),
    "when leftovers are listed": (VERSION, json_answer(INFO)),
    "when the image is looked up": (VERSION, json_answer(INFO), json_answer(b"[]")),
    "when the container is made": (VERSION, json_answer(INFO), json_answer(b"[]"), IMAGE),
}


@pytest.mark.slow
@pytest.mark.parametrize("answers", HANGS.values(), ids=HANGS)
async def test_a_call_is_refused_at_its_own_deadline(
    answers: tuple[bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for half a minute for each thing the engine was asked."""
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    profile = SandboxProfile(image="sha256:" + "0" * 64)

    with mute(path, answers=answers):
        sandbox = DockerSandbox()
        began = time.monotonic()
        with pytest.raises(SandboxUnavailableError, match="started within 1 s"):
            await sandbox.run(CommandJob(("true",)), profile, seconds=1.0)
        first = time.monotonic() - began
        with pytest.raises(SandboxUnavailableError, match="started within 1 s"):
            await sandbox.run(CommandJob(("true",)), profile, seconds=1.0)
        both = time.monotonic() - began

    assert first < GENEROUS
    assert both < 2 * GENEROUS
    gc.collect()


async def test_a_session_and_many_callers_are_held_to_it_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    refused = 0

    with mute(path):
        sandbox = DockerSandbox()
        began = time.monotonic()

        async def call() -> None:
            nonlocal refused
            session = SandboxSession(sandbox, SandboxProfile())
            with pytest.raises(SandboxUnavailableError):
                await session.run(PythonJob("os:getpid"), within=1.0)
            refused += 1

        async with anyio.create_task_group() as group:
            for _ in range(24):  # more than there are threads for the engine
                group.start_soon(call)
        seconds = time.monotonic() - began

    assert refused == 24
    assert seconds < GENEROUS
    gc.collect()
