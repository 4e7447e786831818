"""Handing over a job and listening to it, over real sockets, with the runner's part scripted."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from runner_words import GREETING, HELLO, READY, TAKEN, report

from sandbox import (
    CommandJob,
    PythonJob,
    SandboxGoneError,
    SandboxProfile,
    SandboxProviderError,
    SandboxUnavailableError,
)
from sandbox.supervisor.channel import (
    SocketChannel,
    check_job,
    converse,
    greet,
    set_up,
)
from sandbox.supervisor.transcript import Transcript
from sandbox.supervisor.verdict import Evidence, judge
from sandbox.supervisor.wire import EncodedJob, encode_job, frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = pytest.mark.both_backends

PROFILE = SandboxProfile(wall_seconds=5, output_bytes=100)


def order(pieces: Iterable[bytes], profile: SandboxProfile = PROFILE) -> EncodedJob:
    return EncodedJob(PythonJob("m:f"), {}, tuple(pieces), profile.wall_seconds)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and the runner's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_a_hello_is_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    """In however many pieces it comes."""
    ours, theirs = ends
    transcript = Transcript(PROFILE)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: greet(SocketChannel(ours), transcript, seconds=5))
        for byte in HELLO:
            await anyio.to_thread.run_sync(theirs.sendall, bytes([byte]))

    assert transcript.python == (3, 11)


async def test_a_sandbox_that_ends_before_its_hello(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.close()

    with pytest.raises(SandboxProviderError, match="before it was ready"):
        await greet(SocketChannel(ours), Transcript(PROFILE), seconds=5)


async def test_a_sandbox_that_never_says_hello(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The wait has a deadline."""
    with pytest.raises(SandboxProviderError, match="come up"):
        await greet(SocketChannel(ends[0]), Transcript(PROFILE), seconds=0.01)


async def test_the_setup_is_sent_and_waited_for(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The sandbox is ready when its runner says so, and quiet from then on."""
    ours, theirs = ends
    channel, transcript = SocketChannel(ours), Transcript(PROFILE)
    transcript.feed(GREETING)
    theirs.sendall(READY)

    await set_up(channel, transcript, iter([b"setup"]), seconds=5)

    assert transcript.is_ready
    assert theirs.recv(100) == b"setup"
    assert channel.is_quiet()


async def test_a_runner_that_is_never_ready(ends: tuple[socket.socket, socket.socket]) -> None:
    """A module that imports for ever holds nobody up for ever."""
    transcript = Transcript(PROFILE)
    transcript.feed(GREETING)

    with pytest.raises(SandboxProviderError, match="not ready"):
        await set_up(SocketChannel(ends[0]), transcript, iter([b"setup"]), seconds=0.01)


@pytest.mark.parametrize("said", [b"x", b""], ids=["speaks out of turn", "is gone"])
async def test_a_waiting_runner_that_is_not_quiet(
    ends: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(said)
    if not said:
        theirs.close()

    assert not SocketChannel(ours).is_quiet()


@pytest.mark.parametrize("version", [(3, 10), (2, 7), (4, 11)], ids=str)
async def test_another_python_gets_no_job(version: tuple[int, int]) -> None:
    """Before the job is handed over, with what to do about it."""
    transcript = Transcript(PROFILE)
    transcript.feed(frame("H", b'{"python": [%d, %d, 1]}' % version))

    with pytest.raises(SandboxUnavailableError, match="sandbox build"):
        await checked(PythonJob("m:f"), transcript)


async def test_a_command_runs_beside_any_python() -> None:
    transcript = Transcript(PROFILE)
    transcript.feed(frame("H", b'{"python": [3, 99, 1]}'))

    await checked(CommandJob(("true",)), transcript)


async def test_a_requirement_that_is_not_met_gets_no_job() -> None:
    """The message has the package, what is wanted, what is there, and the way to mend it."""
    transcript = Transcript(PROFILE)
    transcript.feed(HELLO)

    await checked(
        PythonJob("m:f", requires=("other", "fine>=2; python_version<'3'")), transcript
    )
    with pytest.raises(SandboxUnavailableError) as caught:
        await checked(PythonJob("m:f", requires=("other>=2",)), transcript)

    said = "the sandbox lacks other>=2: it has 1.5; install 'other>=2'"
    assert str(caught.value) == said


async def checked(job: PythonJob | CommandJob, transcript: Transcript) -> None:
    async def packages() -> dict[str, str]:
        return {"other": "1.5"}

    order = encode_job(job, PROFILE, files={})
    await check_job(order, transcript, python=(3, 11), packages=packages, remedy="install {!r}")


async def test_a_run_ends_with_its_report(ends: tuple[socket.socket, socket.socket]) -> None:
    """The job arrives whole, and what was said is kept."""
    ours, theirs = ends
    transcript = Transcript(PROFILE)
    transcript.feed(HELLO)
    job = [b"x" * 65536] * 40
    heard = bytearray()

    def runner() -> None:
        while len(heard) < 40 * 65536:
            heard.extend(theirs.recv(65536))
        theirs.sendall(TAKEN + frame("o", b"done") + report())

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, runner)
        stopped, seconds = await converse(SocketChannel(ours), transcript, order(job))

    assert stopped is None
    assert 0 <= seconds < 5
    assert bytes(heard) == b"x" * 40 * 65536
    assert bytes(transcript.stdout) == b"done"


@pytest.mark.parametrize(
    ("said", "profile", "stopped"),
    [
        (b"", SandboxProfile(wall_seconds=0.05), "timeout"),
        (TAKEN + frame("o", b"x" * 101), PROFILE, "output"),
        (TAKEN + frame("o", b"x" * 100) + report(), PROFILE, None),
    ],
    ids=["says nothing", "says too much", "says just enough"],
)
async def test_a_run_is_stopped_for_a_reason(
    ends: tuple[socket.socket, socket.socket],
    said: bytes,
    profile: SandboxProfile,
    stopped: str | None,
) -> None:
    ours, theirs = ends
    transcript = Transcript(profile)
    transcript.feed(HELLO)
    theirs.sendall(said)

    reason, _ = await converse(SocketChannel(ours), transcript, order([b"job"], profile))

    assert reason == stopped
    assert len(transcript.stdout) <= profile.output_bytes


async def test_a_job_nobody_takes_does_not_hang(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The deadline holds for the handing over as well."""
    profile = SandboxProfile(wall_seconds=0.05)
    transcript = Transcript(profile)
    transcript.feed(HELLO)
    endless = [b"x" * 65536] * 1000

    reason, _ = await converse(SocketChannel(ends[0]), transcript, order(endless, profile))

    assert reason == "timeout"


@pytest.mark.parametrize("size", [1, 1000], ids=["a small job", "a large job"])
async def test_a_runner_that_was_gone_before_the_job_took_none(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    """Whichever end of it is seen first: that nothing takes the job, or that nobody answers."""
    ours, theirs = ends
    theirs.close()
    transcript = Transcript(PROFILE)
    transcript.feed(HELLO)

    stopped, _ = await converse(SocketChannel(ours), transcript, order([b"x" * 65536] * size))

    with pytest.raises(SandboxGoneError, match="before it took its job"):
        judge(transcript, Evidence(), stopped=stopped, returns_value=True)


async def test_what_a_runner_said_before_it_hung_up_counts(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """A job that was taken may have run: its end is unknown."""
    ours, theirs = ends
    theirs.sendall(TAKEN)
    theirs.close()
    transcript = Transcript(PROFILE)
    transcript.feed(HELLO)

    stopped, _ = await converse(SocketChannel(ours), transcript, order([b"job"]))

    with pytest.raises(SandboxProviderError, match="without a report") as caught:
        judge(transcript, Evidence(), stopped=stopped, returns_value=True)
    assert not isinstance(caught.value, SandboxGoneError)
