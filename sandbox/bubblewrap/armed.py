"""One started set of namespaces that waits for its job, and its end."""

from __future__ import annotations

import os
import select
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sandbox import frames
from sandbox.bubblewrap.arguments import STAGE
from sandbox.bubblewrap.launch import end, launched
from sandbox.bubblewrap.workspace import ATTRIBUTES, View, upper_of
from sandbox.channel import SocketChannel, check_order, converse, greet, set_up
from sandbox.errors import SandboxProviderError
from sandbox.logs import get_logger
from sandbox.requirements import installed
from sandbox.transcript import Transcript
from sandbox.verdict import Evidence, execution_result, judge
from sandbox.workspace.host_mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sandbox.bubblewrap.cgroup import RunGroup
    from sandbox.bubblewrap.locate import Programs
    from sandbox.frames import Order
    from sandbox.lease import Lease
    from sandbox.profile import SandboxProfile
    from sandbox.result import ExecResult
    from sandbox.workspace import WorkspaceLayer

log = get_logger("bubblewrap")


class ArmedNamespaces:
    """See `Armed`. Starting it is two steps: the launcher by `__init__`, then `set_up`.

    One that keeps its interpreter can be spent again after a call that ended well.

    Args:
        programs: of this machine.
        profile: its walls.
        roots: real host paths of the code, already checked.
        lease: of its owner.
        group: made for it; removed with it.
        enforced: the walls, for the record.
        workspace: the layer of its job.
        keeps: whether its interpreter is kept.

    Raises:
        SandboxProviderError: the launcher cannot be started; the group is left to the caller.
        SandboxUnavailableError: the workspace cannot be layered; likewise.
    """

    def __init__(
        self,
        programs: Programs,
        profile: SandboxProfile,
        roots: Sequence[Path],
        *,
        lease: Lease,
        group: RunGroup,
        enforced: Mapping[str, object],
        workspace: WorkspaceLayer | None = None,
        keeps: bool = False,
    ) -> None:
        self._group = group
        self._enforced = enforced
        self._transcript = Transcript(profile, keeps=keeps)
        self._counted = Evidence()
        self._runner: int | None = None
        self._roots = tuple(roots)
        self._uncollected = None if os.geteuid() == 0 else workspace
        with ExitStack() as stack:
            view = None if workspace is None else _view(workspace, profile, lease, stack)
            self._launched = stack.enter_context(
                launched(programs, profile, roots, lease=lease, view=view)
            )
            self._stack = stack.pop_all()
        self._channel = SocketChannel(self._launched.stream)
        self._has_ended = False
        self._destroyed = False

    async def set_up(self, setup: Iterable[bytes], *, seconds: float) -> None:
        """Waits for the runner, puts it into its group, and waits until it is ready."""
        try:
            await greet(self._channel, self._transcript, seconds=seconds)
            pid = self._process_id()
            try:
                self._runner = os.pidfd_open(pid)
            except OSError as err:
                raise SandboxProviderError("the sandbox ended before it was ready") from err
            self._stack.callback(os.close, self._runner)
            try:
                # Milliseconds: the kernel waits until no process is being forked.
                await to_thread.run_sync(self._group.join, pid)
            except OSError as err:
                raise SandboxProviderError(
                    "the sandbox could not enter its control group"
                ) from err
            if self._uncollected is not None:
                self._uncollected.collect(upper_of(pid, STAGE), ATTRIBUTES)
            await set_up(self._channel, self._transcript, setup, seconds=seconds)
        except SandboxProviderError as err:
            raise SandboxProviderError(f"{err}: {self._launched.diagnostics()!r:.600}") from err

    def _process_id(self) -> int:
        # Written before the runner was started, so it is there.
        said = frames.parse_object(os.read(self._launched.info, 4096))
        pid = said.get("child-pid")
        if type(pid) is not int:
            raise SandboxProviderError("bubblewrap did not say which process it started")
        return pid

    async def _packages(self) -> Mapping[str, str]:
        return await to_thread.run_sync(installed, self._roots)

    def is_alive(self) -> bool:
        """See `Armed`. The launchers hold the channel for a moment after the runner is dead."""
        ended = select.poll()
        if self._runner is not None:
            ended.register(self._runner, select.POLLIN)
        return self._channel.is_quiet() and not ended.poll(0)

    async def spend(self, order: Order) -> ExecResult:
        """See `Armed`."""
        self._transcript = transcript = self._transcript.for_order()
        await check_order(
            order,
            transcript,
            python=sys.version_info[:2],
            packages=self._packages,
            remedy="`pip install {!r}` into a folder that is given as a code root",
        )
        try:
            stopped, seconds = await converse(self._channel, transcript, order)
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
            returns_value=order.returns_value,
            diagnostics=self._launched.diagnostics(),
        )
        return execution_result(ending, transcript, seconds=seconds, enforced=self._enforced)

    async def _end(self, *, leaves: bool) -> None:
        if not self._has_ended:
            self._has_ended = True
            with anyio.CancelScope(shield=True):
                await end(self._launched, self._runner, leaves=leaves)

    async def destroy(self) -> None:
        """See `Armed`."""
        if self._destroyed:
            return
        self._destroyed = True
        with anyio.CancelScope(shield=True):
            try:
                leaves = self._transcript.is_finished and not self._transcript.is_kept
                await self._end(leaves=leaves)
            finally:
                self._stack.close()
            if not await to_thread.run_sync(self._group.remove):
                log.warning("sandbox_group_not_removed", backend="bubblewrap")


def _view(
    workspace: WorkspaceLayer, profile: SandboxProfile, lease: Lease, stack: ExitStack
) -> View:
    if os.geteuid() != 0:
        return View(workspace.source, is_mounted=False, hidden=workspace.hidden)
    mount = stack.enter_context(
        mounted(workspace, size=profile.work_bytes, files=profile.files, lease=lease)
    )
    return View(mount.merged, is_mounted=True, hidden=())
