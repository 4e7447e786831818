"""A container per job by an OCI runtime itself: the isolation of Docker without a daemon's time.

Protects the host by namespaces (a user namespace among them, so that container root is nobody
here), a control group, an empty capability set, a read-only root and our own system call
policy, under an unprivileged user. Does not protect from a bug of the kernel in a call that
policy allows, nor from a bug of the runtime, which runs as root until the job is isolated.

Needs uid 0, a runtime, the memory, pids and cpu controllers, and a prepared root file system.
If any of it is missing nothing runs: there is no container without its user namespace or its
group. What `probe` finds working here is what `run` uses.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sandbox.backends.local_process import LocalProcess
from sandbox.backends.oci import containers, roots, runtimes
from sandbox.backends.oci.configuration import configuration, enforced, points
from sandbox.backends.oci.containers import Container, launched
from sandbox.backends.oci.view import Views
from sandbox.backends.vm_kernel import group_processes, measured, require_no_egress
from sandbox.errors import SandboxError, SandboxProviderError, SandboxUnavailableError
from sandbox.images.layer import PACKAGES
from sandbox.isolation import cgroup
from sandbox.isolation.cgroup import RunGroup
from sandbox.isolation.mounts import checked_sources
from sandbox.isolation.users import own_user
from sandbox.lease import Lease
from sandbox.logs import get_logger
from sandbox.profile import USER, WORK, SandboxProfile
from sandbox.protocol import Availability, RunRequest, Sandbox
from sandbox.supervisor.bootstrap import rlimits
from sandbox.supervisor.wire import encode_setup
from sandbox.workspace import TARGET, host_mounts
from sandbox.workspace.host_mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.backends.oci.runtimes import Runtime
    from sandbox.result import Isolation

log = get_logger("oci")

BOOT_SECONDS = 30.0
REMEDY = "`apt-get install crun` or runc, or put one on PATH"


@dataclass(slots=True)
class _Opened:
    """What was found on this machine, and what is held while the backend is open."""

    known: Mapping[str, Runtime]
    root_folder: Path
    default: Runtime | None = None
    works: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    views: Views = field(default_factory=Views)


class OciSandbox(Sandbox):
    """Runs each job in a fresh container of its own.

    Finds its runtime lazily: entering never fails, the first run may.

    Args:
        root_folder: where its root file systems were prepared.
    """

    name = "oci"
    isolation: Isolation = "container"

    def __init__(self, *, root_folder: Path = roots.FOLDER) -> None:
        self._root_folder = root_folder
        self._opened: _Opened | None = None
        self._opening = anyio.Lock()

    async def probe(self) -> Availability:
        """See `Sandbox`. Starts an empty container, because only that tells."""
        facts: dict[str, object] = {}
        try:
            opened = await self._open()
            facts = _facts(opened)
            root = await to_thread.run_sync(roots.find, None, self._root_folder)
        except SandboxUnavailableError as err:
            return Availability(
                available=False, facts=facts, missing=err.missing, remedy=err.remedy
            )
        except SandboxError as err:
            return Availability(available=False, facts=facts, missing=str(err), remedy=REMEDY)
        facts |= {"image": root.image, "root": root.content, "origin": root.origin}
        return Availability(available=True, facts=facts)

    async def start(self, request: RunRequest) -> LocalProcess:
        """See `Sandbox`."""
        user = own_user()
        roots = checked_sources(request.code_roots, request.profile, user=user)
        opened = await self._open()
        return await _start(opened, _runtime(opened, request.profile), request, user, roots)

    async def _open(self) -> _Opened:
        async with self._opening:
            if self._opened is None:
                opened = await to_thread.run_sync(_look, self._root_folder)
                try:
                    await _choose(opened)
                except BaseException:
                    opened.views.close()
                    raise
                self._opened = opened
            return self._opened

    async def aclose(self) -> None:
        """See `Sandbox`."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.views.close()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(reap)


def reap() -> int:
    """Removes containers, overlays and groups whose owner is gone; gives the containers' number."""
    number = containers.reap()
    host_mounts.reap()
    cgroup.reap()
    roots.reap()
    if number:
        log.info("sandbox_leftovers_removed", containers=number)
    return number


def _look(root_folder: Path) -> _Opened:
    if os.geteuid() != 0:
        raise SandboxUnavailableError(
            "an OCI runtime makes containers of this kind as uid 0 only",
            "run the broker as root, or use Docker or bubblewrap",
        )
    known = runtimes.installed()
    if not known:
        raise SandboxUnavailableError(
            f"there is no OCI runtime ({', '.join(runtimes.NAMES)}) on PATH", REMEDY
        )
    containers.make_folders()
    reap()
    return _Opened(known, root_folder)


async def _choose(opened: _Opened) -> None:
    """Takes the first runtime that starts an empty container, and one with its own kernel.

    Raises:
        SandboxUnavailableError: none on the host's kernel does.
    """
    lacking: SandboxUnavailableError | None = None
    for name in (*runtimes.PREFERENCE, runtimes.KERNEL_RUNTIME):
        runtime = opened.known.get(name)
        if runtime is None or (opened.default and name in runtimes.PREFERENCE):
            continue
        try:
            runtimes.require_sound(name, runtime.version)
            await _try(opened, runtime)
        except SandboxError as err:
            lacking = err if isinstance(err, SandboxUnavailableError) else lacking
            opened.refused[name] = f"{err!s:.400}"
            log.info("runtime_refused", runtime=name, reason=opened.refused[name])
        else:
            opened.works.add(name)
            if name in runtimes.PREFERENCE:
                opened.default = runtime
    if opened.default is not None:
        return
    if lacking is not None:
        raise lacking
    raise SandboxUnavailableError(
        f"no OCI runtime starts a container here: {opened.refused or sorted(opened.known)}",
        "it has to make user namespaces and a control group; " + REMEDY,
    )


async def _try(opened: _Opened, runtime: Runtime) -> None:
    """Starts a container, and looks which kernel it has where that is what its runtime is for.

    Raises:
        SandboxError: it does not start, or has the host's own kernel under another's name.
    """
    request = RunRequest(profile=SandboxProfile())
    started = await _start(opened, runtime, request, own_user(), [])
    try:
        if runtime.name != runtimes.KERNEL_RUNTIME:
            return
        if not await measured(started, request.profile):
            raise SandboxProviderError(
                f"{runtime.path} runs jobs on the host's own kernel, so it is no {runtime.name}"
            )
    finally:
        await started.destroy()


def _runtime(opened: _Opened, profile: SandboxProfile) -> Runtime:
    if profile.runtime is None and opened.default is not None:
        return opened.default
    name = profile.runtime or ""
    runtime = opened.known.get(name)
    if runtime is None or name in opened.refused:
        raise SandboxUnavailableError(
            f"there is no runtime {name!r} here that starts a container"
            f"{': ' + opened.refused[name] if name in opened.refused else ''}",
            f"put one of {', '.join(runtimes.NAMES)} on PATH",
        )
    runtimes.require_sound(name, runtime.version)
    return runtime


async def _start(
    opened: _Opened,
    runtime: Runtime,
    request: RunRequest,
    user: int,
    code_roots: Sequence[Path],
) -> LocalProcess:
    profile = request.profile
    lease = Lease.of_this_process(wall_seconds=request.lease_seconds + 2 * BOOT_SECONDS)
    container = Container(f"wardline-{secrets.token_hex(8)}", str(lease))
    own_kernel = runtime.name == runtimes.KERNEL_RUNTIME
    require_no_egress(profile, runtime.name)
    group = RunGroup.create(
        profile,
        lease=lease,
        name=container.name,
        processes=group_processes(profile.processes) if own_kernel else None,
    )
    try:
        _require_controllers(group)
        process = _launch(opened, runtime, request, user, code_roots, container, lease, group)
    except BaseException:
        group.remove()
        raise
    setup = encode_setup(
        profile,
        code_roots=len(code_roots),
        directory=WORK if request.workspace is None else TARGET,
        preload=request.imports,
        rlimits=rlimits(
            profile,
            memory_grouped=True,
            processes_grouped=True,
            own_kernel=own_kernel,
        ),
        session=request.session,
        is_conversation=request.is_conversation,
    )
    try:
        await process.set_up(setup, process_id=container.process_id, seconds=BOOT_SECONDS)
    except BaseException:
        await process.destroy()
        raise
    return process


def _launch(  # noqa: PLR0917 - private, called once
    opened: _Opened,
    runtime: Runtime,
    request: RunRequest,
    user: int,
    code_roots: Sequence[Path],
    container: Container,
    lease: Lease,
    group: RunGroup,
) -> LocalProcess:
    profile, workspace = request.profile, request.workspace
    with ExitStack() as stack:
        root = stack.enter_context(roots.held(profile.image, opened.root_folder))
        merged = None
        if workspace is not None:
            user = USER if runtime.name == runtimes.KERNEL_RUNTIME else user
            overlay = mounted(
                workspace, size=profile.work_bytes, files=profile.files, lease=lease, user=user
            )
            merged = stack.enter_context(overlay).merged
        asked = configuration(
            profile,
            runtime=runtime.name,
            lease=container.lease,
            name=container.name,
            user=user,
            code_roots=code_roots,
            merged=merged,
        )
        wanted = points(
            profile,
            code_roots=len(code_roots),
            files=[mount.source.is_file() for mount in profile.mounts],
            has_workspace=workspace is not None,
        )
        # After the overlay was mounted: a view has what was mounted before it.
        view = opened.views.get(root.files, wanted)
        started = stack.enter_context(
            launched(container, runtime, asked, view=view, group=group)
        )
        return LocalProcess(
            started,
            profile,
            group=group,
            enforced=enforced(
                profile,
                runtime=runtime,
                root=root,
                cgroup=group.version,
                swap_limited=group.swap_limited,
                has_workspace=workspace is not None,
            ),
            # The runner puts them on the path in this order.
            import_folders=(*code_roots, root.files / PACKAGES),
            remedy="name {!r} among the project's dependencies and build its image again:"
            " `wardline sandbox build PROJECT`",
            held=stack.pop_all(),
            stateful=request.session is not None,
        )


def _require_controllers(group: RunGroup) -> None:
    lacking = sorted(set(cgroup.CONTROLLERS) - set(group.folders))
    if lacking:
        raise SandboxUnavailableError(
            f"no control group with {', '.join(lacking)} can be made",
            "enable these controllers in the kernel, and do not share them with a container",
        )


def _facts(opened: _Opened) -> dict[str, object]:
    default = opened.default
    return {
        "runtimes": sorted(opened.works),
        "kernel_runtimes": sorted({runtimes.KERNEL_RUNTIME} & opened.works),
        "versions": {name: found.version for name, found in opened.known.items()},
        "default_runtime": None if default is None else default.name,
        "runtimes_refused": dict(opened.refused),
        "cgroup": f"v{cgroup.version()}",
        "controllers": list(cgroup.CONTROLLERS),
    }
