"""Docker as a sandbox: one hardened container per job, gone when `run` returns.

Protects the host by namespaces, cgroups, an empty capability set, a read-only root and our own
system call policy, under an unprivileged user. Does not protect from a bug of the kernel in a
call that policy allows, nor from whoever can talk to the engine: access to its socket is root.

If the process dies, the runner inside reads end of file and leaves; a container that survives
even that is removed by its lease when the next `DockerSandbox` opens or closes.
"""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio import to_thread

from sandbox.backends.docker.container import Container
from sandbox.backends.docker.engine import Engine
from sandbox.backends.docker.image import check_label, default_image
from sandbox.backends.docker.inspect import read_sbom
from sandbox.backends.docker.launch import Launch
from sandbox.backends.docker.options import (
    create_request,
    enforced,
    grouped_rlimits,
    runtime_of,
)
from sandbox.backends.vm_kernel import KERNEL_RUNTIMES, measured, require_no_egress
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.isolation.mounts import checked_sources
from sandbox.isolation.users import own_user
from sandbox.lease import Lease
from sandbox.logs import get_logger
from sandbox.profile import WORK, SandboxProfile
from sandbox.protocol import Availability, RunRequest, Sandbox
from sandbox.requirements import installed
from sandbox.supervisor.wire import encode_setup
from sandbox.workspace import TARGET, host_mounts
from sandbox.workspace.host_mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sandbox.result import Isolation
    from sandbox.workspace import WorkspaceOverlay

log = get_logger("docker")

BOOT_SECONDS = 30.0
PATIENCE_SECONDS = 8.0
"""For the engine's answer about a container whose start is given up, so that it can be removed."""
CLEANUP_SECONDS = 45.0
REMOVE_SECONDS = 4.0
"""For one container; an engine that takes longer is asked again before the next run."""
ENGINE_THREADS = 16
MAPPED_USERS = range(1000, 65000)
"""Of an engine with `userns-remap`, whose containers have 65,536 ids."""

_T = TypeVar("_T")


class DockerSandbox(Sandbox):
    """Runs each job in a fresh container of the engine on this machine.

    Connects lazily: entering never fails, the first run may.
    """

    name = "docker"
    isolation: Isolation = "container"

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(ENGINE_THREADS)
        self._engine: Engine | None = None
        self._facts: Mapping[str, object] = {}
        self._opening = anyio.Lock()
        self._owed: set[str] = set()
        self._measuring = anyio.Lock()
        self._kernels: dict[str, bool] = {}
        self._image_packages: dict[str, Mapping[str, str]] = {}

    async def probe(self) -> Availability:
        """See `Sandbox`."""
        try:
            await self._open()
            image = await self._asked(partial(default_image, self._connected()))
            kernels = await self._measured()
        except SandboxUnavailableError as err:
            return Availability(
                available=False, facts=dict(self._facts), missing=err.missing, remedy=err.remedy
            )
        except SandboxError as err:
            return Availability(
                available=False,
                facts=dict(self._facts),
                missing=str(err),
                remedy="look at the engine's log",
            )
        return Availability(available=True, facts={**self._facts, **kernels, "image": image})

    async def start(self, request: RunRequest) -> Container:
        """See `Sandbox`."""
        seconds = request.start_seconds
        with anyio.move_on_after(inf if seconds is None else seconds):
            return await self._started(request)
        raise SandboxUnavailableError(
            f"no sandbox of {self.name} started within {seconds:g} s",
            "look whether the engine answers: `wardline doctor`",
        )

    async def _started(self, request: RunRequest) -> Container:
        await self._open()
        runtime = runtime_of(request.profile, self._facts)
        require_no_egress(request.profile, runtime)
        if runtime in KERNEL_RUNTIMES and not await self._has_kernel(str(runtime)):
            raise SandboxUnavailableError(
                f"runtime {runtime!r} of the engine runs jobs on the host's own kernel",
                "name the real one in the engine's daemon.json",
            )
        return await self._start(request)

    async def _has_kernel(self, runtime: str) -> bool:
        """Measures, once, whether a runtime has a kernel of its own."""
        async with self._measuring:
            if runtime not in self._kernels:
                profile = SandboxProfile(runtime=runtime)
                started = await self._start(RunRequest(profile=profile))
                try:
                    self._kernels[runtime] = await measured(started, profile)
                finally:
                    await started.destroy()
        return self._kernels[runtime]

    async def _measured(self) -> dict[str, object]:
        """The runtimes with a kernel of their own, for the facts; and why others have none."""
        found = self._facts.get("runtimes")
        named = KERNEL_RUNTIMES.intersection(found if isinstance(found, list) else ())
        kernels: list[str] = []
        refused: dict[str, str] = {}
        for runtime in sorted(named):
            try:
                has_kernel = await self._has_kernel(runtime)
            except SandboxError as err:  # one that starts nothing has no kernel
                refused[runtime] = f"{err!s:.400}"
                log.info("runtime_refused", runtime=runtime, reason=refused[runtime])
                continue
            if has_kernel:
                kernels.append(runtime)
            else:
                refused[runtime] = "it runs jobs on the host's own kernel"
        return {"kernel_runtimes": kernels, "runtimes_refused": refused}

    async def _start(self, request: RunRequest) -> Container:
        profile, workspace = request.profile, request.workspace
        runtime = runtime_of(profile, self._facts)
        engine = self._connected()
        user = self._own_user()
        roots = checked_sources(request.code_roots, profile, user=user)
        for owed in tuple(self._owed):
            await self._remove(owed, shield=False)
        image = await self._asked(partial(_image_id, engine, profile, self._facts))
        lease = Lease.of_this_process(wall_seconds=request.lease_seconds + 2 * BOOT_SECONDS)
        name = f"wardline-{secrets.token_hex(8)}"
        async with AsyncExitStack() as stack:
            merged = await self._merged(workspace, profile, lease, user, stack)
            stack.push_async_callback(self._removed, name)
            launch = Launch(
                engine,
                create_request(
                    profile,
                    image=image,
                    lease=str(lease),
                    user=user,
                    code_roots=roots,
                    merged=merged,
                    runtime=runtime,
                ),
                name=name,
            )
            try:
                stream = await self._asked(launch)
            except anyio.get_cancelled_exc_class():
                # One that answers soon leaves nothing behind. An engine that does not is not
                # waited for: whoever it answers cleans up.
                with anyio.move_on_after(PATIENCE_SECONDS, shield=True):
                    while not launch.has_ended:  # noqa: ASYNC110 - its thread tells nobody
                        await anyio.sleep(0.005)
                if not launch.give_up():
                    self._owed.add(name)
                raise
            held = stack.pop_all()
        container = Container(
            engine,
            stream,
            name=name,
            profile=profile,
            enforced=enforced(
                profile, image=image, facts=self._facts, has_workspace=workspace is not None
            ),
            packages=partial(self._packages, image, roots),
            asked=self._asked,
            held=held,
            stateful=request.session is not None,
        )
        setup = encode_setup(
            profile,
            code_roots=len(roots),
            directory=WORK if workspace is None else TARGET,
            preload=request.imports,
            rlimits=grouped_rlimits(profile, runtime=runtime),
            session=request.session,
            is_conversation=request.is_conversation,
        )
        try:
            await container.set_up(setup, seconds=BOOT_SECONDS)
        except BaseException:
            await container.destroy()
            raise
        return container

    def _own_user(self) -> int:
        """An id for one container. An engine that maps them knows those of one range only."""
        if self._facts.get("user_namespace"):
            return MAPPED_USERS.start + secrets.randbelow(len(MAPPED_USERS))
        return own_user()

    async def _merged(
        self,
        workspace: WorkspaceOverlay | None,
        profile: SandboxProfile,
        lease: Lease,
        user: int,
        stack: AsyncExitStack,
    ) -> Path | None:
        """Mounts the overlay of a workspace on the host, until `stack` is closed."""
        if workspace is None:
            return None
        mount = mounted(
            workspace, size=profile.work_bytes, files=profile.files, lease=lease, user=user
        )
        # Whoever gives up meanwhile, what was mounted has to be known, to be unmounted.
        with anyio.CancelScope(shield=True):
            merged = (await self._in_thread(mount.__enter__)).merged
            stack.push_async_callback(self._unmounted, mount)
        return merged

    async def _unmounted(self, mount: AbstractContextManager[object]) -> None:
        with anyio.CancelScope(shield=True):
            await self._in_thread(partial(mount.__exit__, None, None, None))

    async def _removed(self, name: str) -> None:
        if name in self._owed:
            return  # its start was given up; the engine is asked again before the next run
        with anyio.CancelScope(shield=True):
            await self._remove(name)

    async def _packages(self, image: str, roots: Sequence[Path]) -> Mapping[str, str]:
        """Distributions of the code roots, then those the image's SBOM names."""
        if image not in self._image_packages:
            sbom = await self._in_thread(partial(read_sbom, self._connected(), image))
            self._image_packages[image] = sbom.importable
        beside = await to_thread.run_sync(installed, roots)
        return {**self._image_packages[image], **beside}

    async def check_image(self, profile: SandboxProfile) -> None:
        """Looks beforehand at what a profile's Python jobs would meet.

        Raises:
            SandboxUnavailableError: no engine or image, or one labelled with another Python.
        """
        await self._open()
        engine = self._connected()
        image = await self._asked(partial(_image_id, engine, profile, self._facts))
        await self._asked(partial(check_label, engine, image))

    async def _remove(self, name: str, *, shield: bool = True) -> None:
        try:
            with anyio.fail_after(REMOVE_SECONDS, shield=shield):
                await self._asked(partial(self._connected().remove, name))
        except (SandboxError, TimeoutError) as err:
            # Tried again before the next run and at the end; after that the lease is left.
            self._owed.add(name)
            log.warning("sandbox_not_removed", container=name, error=str(err))
        else:
            self._owed.discard(name)

    async def _open(self) -> None:
        async with self._opening:
            if self._engine is not None:
                return
            engine = await self._asked(Engine.connect)
            try:
                self._facts = await self._asked(engine.facts)
                _require_limits(self._facts)
                await self._asked(partial(reap, engine))
            except BaseException:
                engine.close()
                raise
            self._engine = engine

    def _connected(self) -> Engine:
        if self._engine is None:
            raise SandboxUnavailableError("the sandbox was closed", "open a new DockerSandbox")
        return self._engine

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """Runs a blocking engine call; cancellation waits for it (its own timeout bounds it)."""
        return await to_thread.run_sync(work, limiter=self._limiter)

    async def _asked(self, work: Callable[[], _T]) -> _T:
        """As `_in_thread`, for a call that leaves nothing behind: cancellation leaves it alone."""
        return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """See `Sandbox`."""
        engine = self._engine
        if engine is None:
            return
        with anyio.move_on_after(CLEANUP_SECONDS, shield=True):
            for owed in tuple(self._owed):
                await self._remove(owed)
            try:
                await self._in_thread(partial(reap, engine))
            except SandboxError as err:
                log.warning("sandbox_reaper_failed", error=str(err))
            self._engine = None
            await self._in_thread(engine.close)


def reap(engine: Engine) -> int:
    """Removes containers whose owner is gone; gives their number."""
    host_mounts.reap()
    abandoned = [left for left in engine.leftovers() if left.is_abandoned]
    for left in abandoned:
        engine.remove(left.id)
    if abandoned:
        log.info("sandbox_leftovers_removed", containers=len(abandoned))
    return len(abandoned)


def _image_id(engine: Engine, profile: SandboxProfile, facts: Mapping[str, object]) -> str:
    runtimes = facts.get("runtimes")
    if profile.runtime and not (isinstance(runtimes, list) and profile.runtime in runtimes):
        raise SandboxUnavailableError(
            f"the engine has no runtime {profile.runtime!r}",
            "install it and name it in the engine's daemon.json",
        )
    if profile.image is None:
        return default_image(engine)
    return str(engine.image(profile.image)["Id"])


def _require_limits(facts: Mapping[str, object]) -> None:
    for fact, what in (
        ("memory_limit", "memory limits"),
        ("pids_limit", "process limits"),
        ("cpu_limit", "processor limits"),
        ("seccomp", "system call filters"),
    ):
        if not facts.get(fact):
            raise SandboxUnavailableError(
                f"the Docker engine cannot enforce {what}",
                "enable the cgroup controller or seccomp in the kernel it runs on",
            )
