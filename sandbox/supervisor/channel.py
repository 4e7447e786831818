"""The IO of one run: hands over the job, takes the frames, keeps the deadline.

A channel is a non-blocking stream socket to the runner: a socket pair for bubblewrap, the
attached stream of a container for Docker. Waiting goes through `anyio.wait_readable`, so no
thread is held while a job runs.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeAlias

import anyio

from sandbox.errors import SandboxError, SandboxProviderError, SandboxUnavailableError
from sandbox.requirements import check_requirements
from sandbox.supervisor.bootstrap import runner_program
from sandbox.supervisor.wire import CHUNK, frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from sandbox.conversation import Conversation
    from sandbox.supervisor.transcript import Transcript
    from sandbox.supervisor.verdict import Stopped
    from sandbox.supervisor.wire import EncodedJob

RECEIVE_BYTES = 262144


class Channel(Protocol):
    """A byte stream to and from the runner."""

    async def receive(self) -> bytes:
        """The next bytes of the runner; empty when it is gone.

        Raises:
            SandboxProviderError: the stream broke.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Sends all of `data`.

        Raises:
            SandboxProviderError: the stream broke.
        """
        ...

    def is_quiet(self) -> bool:
        """True while the runner is there and has said nothing that was not received."""
        ...


class SocketChannel:
    """A channel over a connected socket, which it makes non-blocking."""

    def __init__(self, stream: socket.socket) -> None:
        stream.setblocking(False)  # noqa: FBT003 - the socket module's signature
        self._stream = stream

    async def receive(self) -> bytes:
        """See `Channel`."""
        while True:
            try:
                return self._stream.recv(RECEIVE_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._stream)
            except ConnectionResetError:
                return b""
            except OSError as err:
                raise SandboxProviderError(f"the sandbox's channel broke: {err}") from err

    def is_quiet(self) -> bool:
        """See `Channel`."""
        try:
            self._stream.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def send(self, data: bytes) -> None:
        """See `Channel`."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._stream.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._stream)
            except OSError as err:
                raise SandboxProviderError(f"the sandbox's channel broke: {err}") from err


async def greet(channel: Channel, transcript: Transcript, *, seconds: float) -> None:
    """Sends the runner and waits for its hello.

    Raises:
        SandboxProviderError: the sandbox ended first, or did not come up within `seconds`.
    """
    with anyio.move_on_after(seconds):
        with suppress(SandboxProviderError):  # whoever has gone by then has said why
            await channel.send(runner_program())
        while transcript.python is None:
            await _hear(channel, transcript)
        return
    raise SandboxProviderError(f"the sandbox did not come up within {seconds} seconds")


async def set_up(
    channel: Channel, transcript: Transcript, setup: Iterable[bytes], *, seconds: float
) -> None:
    """Sends the setup, and waits until the sandbox is ready: its job may come.

    Raises:
        SandboxProviderError: the sandbox ended first, or was not ready within `seconds`.
    """
    with anyio.move_on_after(seconds):
        with suppress(SandboxProviderError):  # as in `greet`
            for piece in setup:
                await channel.send(piece)
        while not transcript.is_ready:
            await _hear(channel, transcript)
        return
    raise SandboxProviderError(f"the sandbox was not ready within {seconds} seconds")


async def _hear(channel: Channel, transcript: Transcript) -> None:
    data = await channel.receive()
    if not data:
        raise SandboxProviderError("the sandbox ended before it was ready")
    transcript.feed(data)


Packages: TypeAlias = "Callable[[], Awaitable[Mapping[str, str]]]"
"""Tells which distributions a sandbox's Python will find: version by normalised name."""


async def check_job(
    job: EncodedJob,
    transcript: Transcript,
    *,
    python: tuple[int, int],
    packages: Packages,
    remedy: str,
) -> None:
    """Refuses to hand over a job that does not fit what is inside: the last look before it.

    Args:
        job: what is to be handed over.
        transcript: of the sandbox, which has said hello.
        python: the caller's minor version, which a Python job needs.
        packages: asked only by a job with requirements.
        remedy: as of `check_requirements`.

    Raises:
        SandboxUnavailableError: another Python, or a requirement that is not met.
    """
    if job.returns_value:
        _check_python(transcript, python)
    if job.requires:
        check_requirements(job.requires, await packages(), remedy=remedy)


def _check_python(transcript: Transcript, wanted: tuple[int, int]) -> None:
    if transcript.python != wanted:
        inside = ".".join(map(str, transcript.python or ()))
        here = ".".join(map(str, wanted))
        raise SandboxUnavailableError(
            f"the sandbox runs Python {inside}, the caller {here}",
            f"build an image for {here} with `wardline sandbox build`",
        )


async def converse(
    channel: Channel, transcript: Transcript, job: EncodedJob
) -> tuple[Stopped | None, float]:
    """Hands over the job and listens until it has ended or has to be stopped.

    Returns why the supervisor must kill the sandbox (None: it ended by itself), and the
    seconds since the job was handed over.
    """
    start = time.monotonic()
    stopped: Stopped | None = "timeout"
    transcript.is_conversation = job.conversation is not None
    with anyio.move_on_after(job.wall_seconds):
        # A sandbox that has gone takes nothing more; what it said before tells how it ended.
        with suppress(SandboxProviderError):
            for piece in job.pieces:
                await channel.send(piece)
        if job.conversation is None:
            stopped = await _listen(channel, transcript)
        else:
            stopped = await _talk(channel, transcript, job.conversation)
    return stopped, time.monotonic() - start


async def _talk(
    channel: Channel, transcript: Transcript, conversation: Conversation
) -> Stopped | None:
    """Speaks and listens at once; whoever stops hearing lets the command go on unheard."""
    stopped: Stopped | None = None
    failed: SandboxError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_say, channel, conversation.said)
        try:
            stopped = await _listen(channel, transcript, conversation.heard)
        except SandboxError as err:
            failed = err  # as it is, not in a group
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return stopped


async def _say(channel: Channel, said: MemoryObjectReceiveStream[bytes]) -> None:
    with suppress(SandboxProviderError):  # how it ended is told by what was heard
        async for data in said:
            for start in range(0, len(data), CHUNK):
                await channel.send(frame("I", data[start : start + CHUNK]))
        await channel.send(frame("I", b""))


async def _listen(
    channel: Channel,
    transcript: Transcript,
    heard: MemoryObjectSendStream[bytes] | None = None,
) -> Stopped | None:
    while not transcript.is_finished:
        data = await channel.receive()
        if not data:
            return None
        transcript.feed(data)
        if transcript.overflowed:
            return "output"
        if heard is not None and (part := transcript.take_stdout()):
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await heard.send(part)
    return None
