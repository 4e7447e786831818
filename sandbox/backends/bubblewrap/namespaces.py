"""One started set of namespaces that waits for its job, and its end."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sandbox.backends.bubblewrap.arguments import STAGE
from sandbox.backends.bubblewrap.launch import launched
from sandbox.backends.bubblewrap.workspace import ATTRIBUTES, View, upper_of
from sandbox.backends.local_process import LocalProcess
from sandbox.errors import SandboxProviderError
from sandbox.supervisor import wire
from sandbox.workspace.host_mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sandbox.backends.bubblewrap.locate import Programs
    from sandbox.isolation.cgroup import RunGroup
    from sandbox.lease import Lease
    from sandbox.profile import SandboxProfile
    from sandbox.protocol import RunRequest
    from sandbox.result import ExecResult
    from sandbox.supervisor.wire import EncodedJob
    from sandbox.workspace import WorkspaceOverlay


class Namespaces:
    """See `StartedSandbox`. Starting it is two steps: the launcher by `__init__`, then `set_up`.

    Args:
        programs: of this machine.
        request: what it is for.
        roots: real host paths of the code, already checked.
        lease: of its owner.
        user: of the host, to be dropped to when this is uid 0.
        group: made for it; removed with it.
        enforced: what holds it, for the record.

    Raises:
        SandboxProviderError: the launcher cannot be started; the group is left to the caller.
        SandboxUnavailableError: the workspace cannot be overlaid; likewise.
    """

    def __init__(
        self,
        programs: Programs,
        request: RunRequest,
        roots: Sequence[Path],
        *,
        lease: Lease,
        user: int | None,
        group: RunGroup,
        enforced: Mapping[str, object],
    ) -> None:
        profile, workspace = request.profile, request.workspace
        self._uncollected = workspace if user is None else None
        with ExitStack() as stack:
            view = None if workspace is None else _view(workspace, profile, lease, user, stack)
            self._started = stack.enter_context(
                launched(programs, profile, roots, lease=lease, user=user, view=view)
            )
            held = stack.pop_all()
        self._process = LocalProcess(
            self._started,
            profile,
            group=group,
            enforced=enforced,
            import_folders=roots,
            remedy="`pip install {!r}` into a folder that is given as a code root",
            held=held,
            stateful=request.session is not None,
        )

    async def set_up(self, setup: Iterable[bytes], *, seconds: float) -> None:
        """Waits for the runner, puts it into its group, and waits until it is ready."""
        await self._process.set_up(setup, process_id=self._process_id, seconds=seconds)

    async def _process_id(self) -> int:
        # Written before the runner was started, so it is there.
        said = wire.parse_object(os.read(self._started.info, 4096))
        pid = said.get("child-pid")
        if type(pid) is not int:
            raise SandboxProviderError("bubblewrap did not say which process it started")
        if self._uncollected is not None:
            self._uncollected.collect(upper_of(pid, STAGE), ATTRIBUTES)
        return pid

    def is_alive(self) -> bool:
        """See `StartedSandbox`."""
        return self._process.is_alive()

    async def run(self, job: EncodedJob) -> ExecResult:
        """See `StartedSandbox`."""
        return await self._process.run(job)

    async def destroy(self) -> None:
        """See `StartedSandbox`."""
        await self._process.destroy()


def _view(
    workspace: WorkspaceOverlay,
    profile: SandboxProfile,
    lease: Lease,
    user: int | None,
    stack: ExitStack,
) -> View:
    if user is None:
        return View(workspace.source, is_mounted=False, hidden=workspace.hidden)
    mount = stack.enter_context(
        mounted(workspace, size=profile.work_bytes, files=profile.files, lease=lease, user=user)
    )
    return View(mount.merged, is_mounted=True, hidden=())
