"""One sandbox started by a launcher of this machine, in a control group of its own.

What differs between the launchers is how one learns which process is the sandbox's first.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sandbox.backends.launcher import end
from sandbox.errors import SandboxProviderError
from sandbox.logs import get_logger
from sandbox.requirements import installed
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
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from sandbox.backends.launcher import Launched
    from sandbox.isolation.cgroup import RunGroup
    from sandbox.profile import SandboxProfile
    from sandbox.result import ExecResult
    from sandbox.supervisor.wire import EncodedJob

log = get_logger("local_process")


class LocalProcess:
    """See `StartedSandbox`. Starting it is two steps: the launcher by its backend, then `set_up`.

    Args:
        launched: the running launcher.
        profile: its limits and isolation.
        group: made for it; removed with it.
        enforced: the same, for the record.
        import_folders: real host paths of the folders whose packages a job may require.
        remedy: what to do about one that is missing, with `{!r}` where it stands in it.
        held: closed when it is destroyed, after every process is dead; collects the launcher.
        stateful: whether several jobs may follow each other in it.
    """

    def __init__(
        self,
        launched: Launched,
        profile: SandboxProfile,
        *,
        group: RunGroup,
        enforced: Mapping[str, object],
        import_folders: Sequence[Path],
        remedy: str,
        held: ExitStack,
        stateful: bool = False,
    ) -> None:
        self._launched = launched
        self._group = group
        self._enforced = enforced
        self._import_folders = tuple(import_folders)
        self._remedy = remedy
        self._held = held
        self._channel = SocketChannel(launched.stream)
        self._transcript = Transcript(profile, stateful=stateful)
        self._counted = Evidence()
        self._runner: int | None = None
        self._has_ended = False
        self._destroyed = False

    async def set_up(
        self,
        setup: Iterable[bytes],
        *,
        process_id: Callable[[], Awaitable[int]],
        seconds: float,
    ) -> None:
        """Waits for the runner, puts it into its group, and waits until it is ready.

        Args:
            setup: frames for the runner.
            process_id: asked once the runner has said hello; of process 1, as the host has it.
            seconds: for each of the waits.
        """
        try:
            await greet(self._channel, self._transcript, seconds=seconds)
            try:
                with anyio.fail_after(seconds):
                    pid = await process_id()
            except TimeoutError as err:
                raise SandboxProviderError(
                    "the launcher did not say which process it started"
                ) from err
            try:
                self._runner = os.pidfd_open(pid)
            except OSError as err:
                raise SandboxProviderError("the sandbox ended before it was ready") from err
            self._held.callback(os.close, self._runner)
            try:
                # Milliseconds: the kernel waits until no process is being forked.
                await to_thread.run_sync(self._group.join, pid)
            except OSError as err:
                raise SandboxProviderError(
                    "the sandbox could not enter its control group"
                ) from err
            await set_up(self._channel, self._transcript, setup, seconds=seconds)
        except SandboxProviderError as err:
            said = complaint(self._launched.diagnostics())
            raise SandboxProviderError(f"{err}: {said}") from err

    async def _packages(self) -> Mapping[str, str]:
        return await to_thread.run_sync(installed, self._import_folders)

    def is_alive(self) -> bool:
        """See `StartedSandbox`. The launchers hold the channel for a moment after the runner is dead."""
        ended = select.poll()
        if self._runner is not None:
            ended.register(self._runner, select.POLLIN)
        return self._channel.is_quiet() and not ended.poll(0)

    async def run(self, job: EncodedJob) -> ExecResult:
        """See `StartedSandbox`."""
        self._transcript = transcript = self._transcript.for_job()
        await check_job(
            job,
            transcript,
            python=sys.version_info[:2],
            packages=self._packages,
            remedy=self._remedy,
        )
        try:
            stopped, seconds = await converse(self._channel, transcript, job)
        finally:
            # The runner reports after everything else is dead, so only then it may go alone.
            if not transcript.is_finished:
                await self._end(leaves=False)
        counted = self._group.evidence() if self._group.folders else Evidence()
        before, self._counted = self._counted, counted
        ending = judge(
            transcript,
            counted.since(before),
            stopped=stopped,
            returns_value=job.returns_value,
            diagnostics=self._launched.diagnostics(),
        )
        return execution_result(ending, transcript, seconds=seconds, enforced=self._enforced)

    async def _end(self, *, leaves: bool) -> None:
        if not self._has_ended:
            self._has_ended = True
            with anyio.CancelScope(shield=True):
                await end(self._launched, self._runner, leaves=leaves)

    async def destroy(self) -> None:
        """See `StartedSandbox`."""
        if self._destroyed:
            return
        self._destroyed = True
        with anyio.CancelScope(shield=True):
            try:
                leaves = self._transcript.is_finished and not self._transcript.awaits_next
                await self._end(leaves=leaves)
            finally:
                try:
                    self._held.close()
                finally:
                    if not await to_thread.run_sync(self._group.remove):
                        log.warning("sandbox_group_not_removed")
