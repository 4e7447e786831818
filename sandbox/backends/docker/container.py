"""One started container that waits for its job, and its end."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio

from sandbox.backends.docker.stream import AttachedChannel
from sandbox.errors import SandboxProviderError
from sandbox.logs import get_logger
from sandbox.supervisor.channel import (
    SocketChannel,
    check_job,
    converse,
    greet,
    set_up,
)
from sandbox.supervisor.transcript import Transcript
from sandbox.supervisor.verdict import Evidence, complaint, execution_result, judge

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from contextlib import AsyncExitStack

    from sandbox.backends.docker.engine import Engine
    from sandbox.profile import SandboxProfile
    from sandbox.result import ExecResult
    from sandbox.supervisor.channel import Packages
    from sandbox.supervisor.wire import EncodedJob


log = get_logger("docker")

KILL_SECONDS = 4.0
"""For an engine to end a job that is over its time. One that takes longer still does it later."""
ANSWER_SECONDS = 15.0
"""For an engine to say how a container ended."""
_KILLED = "it was killed, perhaps for its memory, and the engine does not say why"


class Container:
    """See `StartedSandbox`.

    Args:
        engine: where it runs.
        stream: attached to the started container; closed with it.
        name: of the container.
        profile: its limits and isolation.
        enforced: the same, for the record.
        packages: what its Python will find.
        asked: runs a blocking call of the engine, which may be given up.
        held: closed when it is destroyed: removes the container and what was mounted for it.
        stateful: whether several jobs may follow each other in it.
    """

    def __init__(
        self,
        engine: Engine,
        stream: socket.socket,
        *,
        name: str,
        profile: SandboxProfile,
        enforced: Mapping[str, object],
        packages: Packages,
        asked: Callable[[Callable[[], object]], Awaitable[object]],
        held: AsyncExitStack,
        stateful: bool = False,
    ) -> None:
        self._engine = engine
        self._stream = stream
        self._channel = AttachedChannel(SocketChannel(stream))
        self._transcript = Transcript(profile, stateful=stateful)
        self._name = name
        self._enforced = enforced
        self._packages = packages
        self._asked = asked
        self._held = held
        self._destroyed = False

    async def set_up(self, setup: Iterable[bytes], *, seconds: float) -> None:
        """Waits for the runner, and until it is ready for its job."""
        try:
            await greet(self._channel, self._transcript, seconds=seconds)
            await set_up(self._channel, self._transcript, setup, seconds=seconds)
        except SandboxProviderError as err:
            raise SandboxProviderError(f"{err}: {complaint(self._complaints())}") from err

    def _complaints(self) -> str:
        return self._channel.diagnostics.decode("utf-8", "replace")

    def is_alive(self) -> bool:
        """See `StartedSandbox`."""
        return self._channel.is_quiet()

    async def run(self, job: EncodedJob) -> ExecResult:
        """See `StartedSandbox`."""
        self._transcript = transcript = self._transcript.for_job()
        await check_job(
            job,
            transcript,
            python=sys.version_info[:2],
            packages=self._packages,
            remedy="name {!r} among the project's dependencies and build its image again:"
            " `wardline sandbox build PROJECT`",
        )
        stopped, seconds = await converse(self._channel, transcript, job)
        if stopped is not None or not transcript.awaits_next:
            # Let go of the stream first: an engine that cannot pass on output cannot kill either.
            self._stream.close()
        if stopped is not None:
            await self._kill()
        end: object = None
        if stopped is None and not transcript.is_finished:
            try:
                with anyio.fail_after(ANSWER_SECONDS):
                    end = await self._asked(partial(self._engine.end_of, self._name))
            except TimeoutError as err:
                raise SandboxProviderError(
                    "the Docker engine does not say how the sandbox ended"
                ) from err
        ending = judge(
            transcript,
            Evidence(oom_kills=int(end == "oom")),
            stopped=stopped,
            returns_value=job.returns_value,
            diagnostics=self._complaints() or (_KILLED if end == "killed" else ""),
        )
        return execution_result(ending, transcript, seconds=seconds, enforced=self._enforced)

    async def _kill(self) -> None:
        """Asks the engine to; the caller is answered at its own deadline whether it does or not.

        A job that an engine does not end is ended by its runner (`GRACE_SECONDS`).
        """
        with anyio.move_on_after(KILL_SECONDS):
            try:
                await self._asked(partial(self._engine.kill, self._name))
            except SandboxProviderError as err:
                log.warning("sandbox_not_killed", container=self._name, error=str(err))

    async def destroy(self) -> None:
        """See `StartedSandbox`."""
        if self._destroyed:
            return
        self._destroyed = True
        self._stream.close()
        with anyio.CancelScope(shield=True):
            await self._held.aclose()
